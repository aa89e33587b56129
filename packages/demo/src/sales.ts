// Business that goes on: orders that are sold one after the other, each noted when the database has acknowledged it.

import type { Client } from 'pg';
import type { BusinessApp } from './business-app.ts';

export interface Order {
  readonly id: number;
  /** When its commit was acknowledged, by the clock of this machine. */
  readonly soldAt: Date;
}

const pauseMs = 100;
/** Above the orders that the app comes with. */
const firstNewId = 1_000_000;

export interface Sales {
  /** Ends the selling; all orders that were acknowledged, in their order. */
  stop(): Promise<readonly Order[]>;
}

/** Sells an order every tenth of a second. */
export function sellUntilStopped(app: BusinessApp): Sales {
  const stopping = new AbortController();
  const sold = sellOrders(app, stopping.signal);
  // Told by who stops it.
  sold.catch(() => {});
  return {
    stop: () => {
      stopping.abort();
      return sold;
    },
  };
}

async function sellOrders(app: BusinessApp, stopping: AbortSignal): Promise<readonly Order[]> {
  const client = await app.connect();
  const orders: Order[] = [];
  try {
    for (let id = firstNewId; !stopping.aborted; id++) {
      await client.query('INSERT INTO sales_order VALUES ($1, 1, current_date, 49.90)', [id]);
      orders.push({ id, soldAt: new Date() });
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return orders;
  } finally {
    await client.end();
  }
}

/** The mistake: a third of the old orders, in one statement. Yields them, and when they were certainly still there. */
export async function deleteOrders(
  app: BusinessApp,
): Promise<{ readonly at: Date; readonly orders: readonly Order[] }> {
  const client = await app.connect();
  try {
    const at = new Date();
    const { rows } = await client.query<{ id: number }>(
      `DELETE FROM sales_order WHERE id % 3 = 0 AND id < ${firstNewId} AND id NOT IN (SELECT order_id FROM invoice) RETURNING id`,
    );
    return { at, orders: rows.map(({ id }) => ({ id, soldAt: at })) };
  } finally {
    await client.end();
  }
}

/** Ids of all orders that are there now. */
export async function readOrders(app: BusinessApp): Promise<ReadonlySet<number>> {
  const client = await app.connect();
  try {
    const { rows } = await client.query<{ id: number }>('SELECT id FROM sales_order');
    return new Set(rows.map(({ id }) => id));
  } finally {
    await client.end();
  }
}

/** Copies orders from one database to the app's; yields how many came over. */
export async function takeOver(options: {
  readonly from: Client;
  readonly to: BusinessApp;
  readonly orders: readonly Order[];
}): Promise<number> {
  const { from, to, orders } = options;
  const { rows } = await from.query<{ row: string }>(
    'SELECT to_json(o)::text AS row FROM sales_order o WHERE id = ANY($1)',
    [orders.map(({ id }) => id)],
  );
  const client = await to.connect();
  try {
    await client.query(
      'INSERT INTO sales_order SELECT (json_populate_record(null::sales_order, row::json)).* FROM unnest($1::text[]) AS row',
      [rows.map(({ row }) => row)],
    );
    return rows.length;
  } finally {
    await client.end();
  }
}
