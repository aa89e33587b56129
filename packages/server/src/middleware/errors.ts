// Every failure becomes the API's one error body. What is not an AppError is a defect: logged in full, told in one line.

import { AppError, messageOf } from '@varve/base';
import type { ApiError } from '@varve/contract';
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { ServerContext, ServerEnv } from '../context.ts';

export function errorHandler(context: ServerContext) {
  return (error: Error, c: Context<ServerEnv>): Response => {
    const appError = toAppError(error);
    if (appError.code === 'INTERNAL') {
      const requestId = c.get('requestId');
      context.logger.error('unexpected error', { requestId, error: messageOf(error), stack: error.stack });
      return answer(c, new AppError('INTERNAL', 'Something went wrong inside Varve.', { hint: logHint(requestId) }));
    }
    return answer(c, appError);
  };
}

export function notFoundHandler(c: Context<ServerEnv>): Response {
  return answer(c, new AppError('REQUEST_NOT_FOUND', `There is nothing at ${c.req.method} ${c.req.path}.`));
}

function toAppError(error: Error): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof HTTPException) {
    if (error.status === 504) {
      return new AppError('REQUEST_TIMEOUT', 'The request took too long.', { hint: 'Try again.', retry: true });
    }
    if (error.status < 500) return new AppError('USAGE_INVALID', error.message || 'The request is not valid.');
  }
  return new AppError('INTERNAL', error.message, { cause: error });
}

function answer(c: Context<ServerEnv>, error: AppError): Response {
  const body: ApiError = { error: { code: error.code, message: error.message, hint: error.hint ?? null } };
  if (Object.keys(error.context).length > 0) body.error.context = { ...error.context };
  const wait = error.context['retryAfterSeconds'];
  if (typeof wait === 'number') c.header('Retry-After', String(wait));
  // The rest of the body is not read: the connection cannot be used for another request.
  if (error.httpStatus === 413 || c.env.incoming.headers['transfer-encoding']) c.header('Connection', 'close');
  // 499 (client closed request) has no reader; Response accepts 200 to 599.
  return c.json(body, error.httpStatus as ContentfulStatusCode);
}

function logHint(requestId: string): string {
  return `The server's log has the details under request ${requestId}.`;
}
