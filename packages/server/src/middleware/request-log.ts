// Gives every request an id and one log line: method, path, status, duration. Never queries, bodies or headers.

import { randomUUID } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import type { ServerContext, ServerEnv } from '../context.ts';

export function requestLog(context: ServerContext) {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const requestId = randomUUID();
    c.set('requestId', requestId);
    c.header('X-Request-Id', requestId);
    const startedAt = performance.now();
    await next();
    const { status } = c.res;
    const fields = {
      requestId,
      method: c.req.method,
      path: c.req.path,
      status,
      durationMs: Math.round(performance.now() - startedAt),
      user: c.get('user')?.email,
    };
    if (status >= 500) context.logger.error('request', fields);
    else if (status >= 400) context.logger.warn('request', fields);
    else if (c.req.method === 'GET' || c.req.method === 'HEAD') context.logger.debug('request', fields);
    else context.logger.info('request', fields);
  });
}
