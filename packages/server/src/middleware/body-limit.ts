// Bounds the body of a request by its declared length, which Node's parser then enforces. A body of unknown length is
// refused: no client of this API needs one.

import { AppError } from '@varve/base';
import { createMiddleware } from 'hono/factory';
import type { ServerEnv } from '../context.ts';

const maxBodyBytes = 1024 * 1024;

export function bodyLimit() {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const { headers } = c.env.incoming;
    if (headers['transfer-encoding'] !== undefined) {
      throw new AppError('USAGE_INVALID', 'The length of the body was not declared.', {
        hint: 'Send it with Content-Length.',
      });
    }
    if (Number(headers['content-length'] ?? 0) > maxBodyBytes) {
      throw new AppError('REQUEST_TOO_LARGE', `The body is larger than ${maxBodyBytes} bytes.`);
    }
    await next();
  });
}
