-- A brand-audit service: what do language models say when somebody asks about shoes?

create table companies (
    id integer primary key,
    name text not null,
    audits_done integer not null default 0,
    mentions integer not null default 0
);

create table audits (
    id integer primary key,
    company_id integer not null references companies,
    status text not null default 'queued' check (status in ('queued', 'done')),
    mentions integer
);

create table queries (
    id integer primary key,
    audit_id integer not null references audits,
    text text not null
);

create index on queries (audit_id);

create table responses (
    query_id integer primary key references queries,
    text text not null,
    mentioned boolean not null
);
