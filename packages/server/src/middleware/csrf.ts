// Refuses changes that a foreign page makes a browser send: the Origin and Sec-Fetch-Site headers, which pages cannot
// forge, must say "same origin", and bodies must be JSON, which a plain form cannot send.

import { AppError } from '@varve/base';
import { createMiddleware } from 'hono/factory';
import type { ServerContext, ServerEnv } from '../context.ts';

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

export function csrfCheck(context: ServerContext) {
  return createMiddleware<ServerEnv>(async (c, next) => {
    if (!safeMethods.has(c.req.method)) {
      const { headers } = c.env.incoming;
      const site = headers['sec-fetch-site'];
      const fromHere = isOwnOrigin({ origin: headers.origin, host: headers.host, publicUrl: context.publicUrl });
      if (!fromHere || (site !== undefined && site !== 'same-origin' && site !== 'none')) {
        throw new AppError('AUTH_FORBIDDEN', 'The request came from a page of another site.', {
          hint: 'Use the pages of this server. Behind a proxy, start it with --public-url set to the URL that browsers use.',
        });
      }
      assertJson(headers['content-type'], hasBody(headers));
    }
    await next();
  });
}

/** Programs that are not browsers send no Origin; they hold no cookie of a browser either. */
function isOwnOrigin(options: {
  origin: string | undefined;
  host: string | undefined;
  publicUrl: URL | undefined;
}): boolean {
  const { origin, host, publicUrl } = options;
  if (origin === undefined) return true;
  if (publicUrl !== undefined && origin === publicUrl.origin) return true;
  return URL.canParse(origin) && new URL(origin).host === host?.toLowerCase();
}

function hasBody(headers: {
  'content-length'?: string | undefined;
  'transfer-encoding'?: string | undefined;
}): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function assertJson(contentType: string | undefined, withBody: boolean): void {
  if (contentType === undefined && !withBody) return;
  if (contentType?.split(';')[0]?.trim().toLowerCase() === 'application/json') return;
  throw new AppError('USAGE_INVALID', 'The body of a request must be JSON.', {
    hint: 'Send it with Content-Type: application/json.',
  });
}
