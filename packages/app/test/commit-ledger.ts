// Clients that load a server as pgbench does, and a ledger of what was acknowledged to them, kept outside of the database: what a
// recovery is measured against. A client whose server dies connects again.

import { isAppError, Secret, sleep } from '@varve/base';
import { connectPostgres, type PgConnection } from '@varve/postgres';
import type { PostgresServer } from '@varve/testing';

export interface Commit {
  readonly id: number;
  readonly xid: number;
  /** When its acknowledgement came, by `performance.now()`. */
  readonly atMs: number;
}

export interface CommitLedger extends AsyncDisposable {
  /** In the order in which they were acknowledged. */
  readonly acknowledged: readonly Commit[];
  /** Waits until so many more are acknowledged. */
  grow(commits: number): Promise<void>;
  /** Ends the clients, also those that wait for a server. */
  stop(): Promise<void>;
}

const accounts = 2000;
const retryMs = 50;

/** The tables of the load: TPC-B's, and the ledger. */
export const ledgerSchema = `
  create table branches (id int primary key, balance bigint not null default 0);
  create table tellers (id int primary key, balance bigint not null default 0);
  create table accounts (id int primary key, balance bigint not null default 0, filler char(84) default '');
  create table history (teller int, branch int, account int, delta int, at timestamptz default now());
  create table ledger (id bigint primary key, xid bigint, filler text);
  insert into branches (id) select generate_series(1, 1);
  insert into tellers (id) select generate_series(1, 10);
  insert into accounts (id) select generate_series(1, ${accounts})`;

export function connectTo({ host, port, user, password }: PostgresServer): Promise<PgConnection> {
  return connectPostgres({ host, port, user, password: new Secret(password), database: 'postgres' });
}

/** One transaction of TPC-B with a row of the ledger; its transaction id when it was acknowledged. */
async function transact(connection: PgConnection, id: number): Promise<number> {
  const of = (most: number): number => 1 + Math.floor(Math.random() * most);
  const [teller, account, delta] = [of(10), of(accounts), of(10_000) - 5000];
  const results = await connection.query(
    `begin;
     update accounts set balance = balance + ${delta} where id = ${account};
     update tellers set balance = balance + ${delta} where id = ${teller};
     update branches set balance = balance + ${delta} where id = 1;
     insert into history (teller, branch, account, delta) values (${teller}, 1, ${account}, ${delta});
     insert into ledger values (${id}, txid_current(), repeat(md5(random()::text), 20)) returning xid;
     commit`,
  );
  return Number(results.find(({ rows }) => rows.length === 1)?.rows[0]?.[0]);
}

/** Starts clients on a server that has {@link ledgerSchema}; each pauses between its transactions. */
export function keepLedger(server: PostgresServer, { clients = 4, pauseMs = 2, firstId = 1 } = {}): CommitLedger {
  const acknowledged: Commit[] = [];
  const stopping = new AbortController();
  const { signal } = stopping;
  let given = firstId;
  const work = async (): Promise<void> => {
    await using connection = await connectTo(server);
    while (!signal.aborted) {
      const id = given++;
      const xid = await transact(connection, id);
      acknowledged.push({ id, xid, atMs: performance.now() });
      await sleep(pauseMs, { signal }).catch(() => {});
    }
  };
  const client = async (): Promise<void> => {
    while (!signal.aborted) {
      await work().catch(async (error: unknown) => {
        // A server that was killed, or that is starting; whatever else is wrong with a statement fails the test.
        if (!isAppError(error) || error.code === 'DATABASE_QUERY_FAILED') throw error;
        await sleep(retryMs, { signal }).catch(() => {});
      });
    }
  };
  const done = Promise.all(Array.from({ length: clients }, client));
  const stop = async (): Promise<void> => {
    stopping.abort();
    await done;
  };
  return {
    acknowledged,
    async grow(commits) {
      const wanted = acknowledged.length + commits;
      while (acknowledged.length < wanted) await Promise.race([sleep(5), done]);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** How long before a moment the oldest commit was acknowledged that is missing, in ms; 0 when none is. */
export function lossMs(ledger: readonly Commit[], isThere: (commit: Commit) => boolean, atMs: number): number {
  const oldest = ledger.find((commit) => commit.atMs <= atMs && !isThere(commit));
  return oldest === undefined ? 0 : atMs - oldest.atMs;
}

/** `median 1, p99 2, most 3` */
export function distribution(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN).toFixed(0);
  return `median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, most ${at(1)}`;
}
