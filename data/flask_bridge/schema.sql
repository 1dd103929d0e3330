-- What a messaging provider tells about the messages that we sent.

create table messages (
    id integer primary key,
    recipient text not null,
    status text not null default 'queued',
    updates integer not null default 0  -- how many updates of it were counted
);

create table updates (
    id text primary key,
    message_id integer not null references messages,
    status text not null check (status in ('sent', 'delivered', 'undelivered', 'read')),
    recorded_at timestamptz not null default now()
);
