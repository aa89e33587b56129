// What every route and middleware is given.

import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Varve } from '@varve/app';
import { AppError, type Logger } from '@varve/base';
import type { Context } from 'hono';
import type { Accounts, AccountUser } from './accounts/accounts.ts';

export interface ServerContext {
  readonly varve: Varve;
  readonly accounts: Accounts;
  readonly logger: Logger;
  readonly version: string;
  /** Aborts when the server begins to stop: event streams end. */
  readonly shutdown: AbortSignal;
  /** Where the built UI is. */
  readonly webRoot: string;
  /** URL under which browsers come in, when it is not the address that the server listens on. */
  readonly publicUrl: URL | undefined;
  /** Time between two heartbeats of an event stream. */
  readonly heartbeatMs: number;
}

export interface ServerEnv {
  Bindings: HttpBindings;
  Variables: { requestId: string; user: AccountUser | null };
}

export type Api = OpenAPIHono<ServerEnv>;

/** The signed-in user of a request. */
export function userOf(c: Context<ServerEnv>): AccountUser {
  const user = c.get('user');
  if (user === null || user === undefined) {
    throw new AppError('AUTH_REQUIRED', 'This needs a signed-in user.', { hint: 'Sign in and try again.' });
  }
  return user;
}

/** Address of the client's end of the connection; a header is never believed. */
export function clientAddress(c: Context<ServerEnv>): string {
  return c.env.incoming.socket.remoteAddress ?? 'unknown';
}
