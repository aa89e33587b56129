// Refuses requests for a host name that is not ours, which is how a foreign page reaches a local server by DNS
// rebinding. IP addresses are accepted: a name is needed to rebind.

import { isIP } from 'node:net';
import { AppError } from '@varve/base';
import { createMiddleware } from 'hono/factory';
import type { ServerContext, ServerEnv } from '../context.ts';

export function hostCheck(context: ServerContext & { readonly listenHost: string }) {
  const names = new Set(['localhost', context.listenHost.toLowerCase()]);
  if (context.publicUrl) names.add(context.publicUrl.hostname.toLowerCase());
  return createMiddleware<ServerEnv>(async (c, next) => {
    const name = hostName(c.env.incoming.headers.host);
    if (name === undefined || !(names.has(name) || isIP(name) !== 0 || name.endsWith('.localhost'))) {
      throw new AppError('AUTH_FORBIDDEN', `This server does not answer for the host "${name ?? ''}".`, {
        hint: 'Use its IP address or localhost, or start the server with --public-url set to the URL that browsers use.',
      });
    }
    await next();
  });
}

/** The name in a Host header, lower case, without port and brackets; undefined when it is not a host. */
function hostName(header: string | undefined): string | undefined {
  if (header === undefined || !URL.canParse(`http://${header}`)) return undefined;
  const url = new URL(`http://${header}`);
  if (url.pathname !== '/' || url.username !== '' || url.search !== '' || url.hash !== '') return undefined;
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}
