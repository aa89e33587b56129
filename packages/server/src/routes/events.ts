// The event stream: every change of a job, an app or the alerts, as server-sent events. A slow reader slows only its own
// stream; a heartbeat keeps proxies from closing it and ends the stream of a user who signed out.

import { varveEventSchema } from '@varve/contract';
import { streamSSE } from 'hono/streaming';
import type { Api, ServerContext } from '../context.ts';
import { describeRoute } from './route.ts';

/** How long a browser waits before it connects again. */
const reconnectMs = 2000;
/** A reader that takes nothing for so many heartbeats is gone: what waits for it must not pile up. */
const maxUnreadBeats = 4;

const getEvents = describeRoute({
  method: 'get',
  path: '/api/events',
  tags: ['events'],
  summary: 'What happens, as it happens; each event replaces what was known of the thing',
  responses: {
    200: {
      description: 'Server-sent events; the data of each is one event as JSON.',
      content: { 'text/event-stream': { schema: varveEventSchema } },
    },
  },
});

export function addEventRoutes(api: Api, context: ServerContext): void {
  api.openapi(getEvents, (c) => {
    const { headers } = c.req.raw;
    const response = streamSSE(c, async (stream) => {
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      const signal = AbortSignal.any([gone.signal, context.shutdown]);
      let unreadBeats = 0;
      const beat = async (): Promise<void> => {
        if (unreadBeats >= maxUnreadBeats) throw new Error('The reader stalled.');
        unreadBeats++;
        const { user } = await context.accounts.userOf(headers);
        if (user === null) gone.abort();
        else await stream.write(': still here\n\n');
        unreadBeats = 0;
      };
      const heartbeat = setInterval(() => {
        beat().catch(() => gone.abort());
      }, context.heartbeatMs);
      try {
        await stream.write(`retry: ${reconnectMs}\n\n`);
        for await (const event of context.varve.events({ signal })) {
          if (signal.aborted) break;
          await stream.writeSSE({ event: 'message', data: JSON.stringify(event) });
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        clearInterval(heartbeat);
      }
    });
    response.headers.set('Cache-Control', 'no-store, no-transform');
    response.headers.set('X-Accel-Buffering', 'no');
    return response;
  });
}
