"""Lab 14: the job that is alive, idle, and never ends.

A worker takes brand audits from a queue in PostgreSQL, asks three language models about each company,
and stores what they said. Ten functions do it. Two were converted when the job stalled, `is_cancelled`
and `generate_queries`; since then it stalls less, and at times it never ends. Convert the others.

What the ten functions must do when you are done. None of them stops the event loop.

1. `take_audit` takes a queued audit, and sets it to running. Of two workers, each a process, one gets it.
2. `is_cancelled` reads whether an audit was cancelled. One that is cancelled at any time before its
   models are asked asks none.
3. `company_context` reads the company's name, its industry and its competitors, in the order of their names.
4. `generate_queries` writes a query for each row of `questions`: `{name}`, `{industry}`, `{competitors}`.
5. `execute_queries` asks each provider each query, once, also one that it can't answer.
6. `store_responses` stores each answer unchanged.
7. `analyze_responses` says of each answer whether it names the company, in capitals or not.
8. `calculate_scores` computes the share of answers that name it, and the 5th and 95th percentile of
   the shares of `resamples` resamples. A response with an `error` is no answer.
9. `finalize_audit` leaves each response in `final_responses`, nothing of the audit in `queries` and
   `responses`, and the audit completed, with score, `low` and `high`. For its company it adds one to
   `audits_done`, and to `queries_asked` its queries, however many providers were asked each.
10. `handle_failure` sets an audit none of whose queries was answered to failed, with an `error` that
   is not empty. Nothing else of it stays, and its queries are not counted.

What the whole job must do:

11. It ends: `await processor.run()` returns the number of audits that it took when none is queued,
   however many are under way and whatever companies they are of. After `async with`, no
   connections, tasks or working threads are left.
12. It loses nothing: an audit whose worker was killed or whose `run` was cancelled, and that is
   queued again, ends as if it had run once.
13. Cancelled, it leaves nothing. An audit set to cancelled stays that, and nothing of it is
   in the other tables. If `run` is cancelled, it ends at once with CancelledError, and PostgreSQL
   soon has no transaction of it and gets no further rows.
14. A provider that hangs delays only its own queries. After `timeout` seconds such a
   query has a response with an `error`, as has one whose provider raised; the others do not wait for it.
15. Thirty audits at once get at least 60 % of what the providers' limits allow. No provider is asked more than its
   `limit` at a time, there are at most `size` connections, and nothing else stops the loop.

Keep `open_processor` and its signature, `run`, and the names of the ten functions, which the
verdict goes by. What they take and return, the files and the driver are yours to choose: psycopg,
psycopg_pool and asyncpg are installed. A provider has a `name`, a `limit` and `await ask(query)`.
Tables: data/audit_capstone/schema.sql; `queries` and `responses` are yours to use, or to leave empty.
The notebook starts the job as `python -m audit DSN`.

How it is judged: `loopclinic check 14`, or `loopclinic watch 14` for a verdict on every save. The check
asks PostgreSQL what it sees. What it tolerates:

- 1 to 10: over a connection with a round trip of 80 ms, a function may stop the loop for 50 % of one.
  A thread for `calculate_scores` is fine, and so is one for each unit of work.
- 11: opening may take 4 s, closing 1.5 s.
- 13: `run` has 500 ms to end when cancelled, and PostgreSQL as long to forget it. What was under
  way may stay running in `audits`: it is queued again by hand. A score of a cancelled audit does no harm.
- 14: the queries of the others are asked within half of `timeout`.
- 15: `timeout` is for an answer; the wait for a place at a provider is none of it.
"""

from .processor import Processor, open_processor

__all__ = ["Processor", "open_processor"]
