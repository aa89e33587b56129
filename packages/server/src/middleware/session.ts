// Finds out who sends a request, and refuses everything under /api without a session but the few routes that make one.

import { AppError } from '@varve/base';
import { createMiddleware } from 'hono/factory';
import type { ServerContext, ServerEnv } from '../context.ts';

/** The routes under /api that answer without a session. */
export const publicApiRoutes: ReadonlySet<string> = new Set([
  'GET /api/session',
  'POST /api/setup',
  'POST /api/sign-in',
]);

export function sessionCheck(context: ServerContext) {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const { user, cookies } = await context.accounts.userOf(c.req.raw.headers);
    c.set('user', user);
    const method = c.req.method === 'HEAD' ? 'GET' : c.req.method;
    if (user === null && !publicApiRoutes.has(`${method} ${c.req.path}`)) {
      throw new AppError('AUTH_REQUIRED', 'You are not signed in.', { hint: 'Sign in and try again.' });
    }
    for (const cookie of cookies) c.header('Set-Cookie', cookie, { append: true });
    await next();
  });
}
