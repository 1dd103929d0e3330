create table customer (
    id bigint generated always as identity primary key,
    name text not null,
    email text not null unique,
    phone text,
    password_hash bytea
);

create table vessel (
    id bigint generated always as identity primary key,
    customer_id bigint not null references customer,
    name text not null,
    length_cm integer not null check (length_cm > 0),
    draft_cm integer not null check (draft_cm > 0)
);

create table berth (
    id bigint generated always as identity primary key,
    pier text not null,
    place integer not null,
    length_cm integer not null,
    depth_cm integer not null,
    has_power boolean not null default true,
    unique (pier, place)
);

create table booking (
    id bigint generated always as identity primary key,
    berth_id bigint not null references berth,
    vessel_id bigint not null references vessel,
    arrives_on date not null,
    leaves_on date not null check (leaves_on > arrives_on),
    state text not null default 'requested',
    gate_code text
);

create table audit_entry (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    subject text not null
);

create table invoice_counter (
    year integer primary key,
    last integer not null
);

create table invoice (
    id bigint generated always as identity primary key,
    number text not null unique,
    booking_id bigint not null,
    customer_id bigint not null,
    currency char(3) not null default 'EUR',
    status text not null default 'open',
    issued_on date not null,
    due_on date not null
);

create table invoice_line (
    id bigint generated always as identity primary key,
    invoice_id bigint not null references invoice on delete cascade,
    description text not null,
    quantity integer not null check (quantity > 0),
    unit_cents integer not null
);

create table payment (
    id bigint generated always as identity primary key,
    invoice_id bigint not null references invoice on delete cascade,
    amount_cents integer not null check (amount_cents > 0),
    method text not null,
    reference text not null unique,
    received_at timestamptz not null default now()
);
