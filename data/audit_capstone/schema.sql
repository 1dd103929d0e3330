-- A brand-audit service with its queue: three language models are asked about companies.

create table companies (
    id integer primary key,
    name text not null,
    industry text not null,
    audits_done integer not null default 0,
    queries_asked integer not null default 0
);

create table competitors (
    company_id integer not null references companies,
    name text not null
);

create table questions (
    id integer primary key,
    text text not null
);

create table audits (
    id integer primary key,
    company_id integer not null references companies,
    status text not null default 'queued'
        check (status in ('queued', 'running', 'completed', 'failed', 'cancelled')),
    error text,
    score double precision,
    low double precision,
    high double precision
);

-- What an audit under way has so far; yours to use or to leave empty.

create table queries (
    id serial primary key,
    audit_id integer not null references audits,
    text text not null
);

create table responses (
    id serial primary key,
    query_id integer not null references queries,
    provider text not null,
    text text,
    error text,
    mentioned boolean
);

-- What a completed audit leaves.

create table final_responses (
    audit_id integer not null references audits,
    query text not null,
    provider text not null,
    text text,
    error text,
    mentioned boolean
);
