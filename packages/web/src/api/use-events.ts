// Listens to the server's event stream while somebody is signed in, and says whether it is connected. After an
// interruption everything is read again, because events may have been missed.

import { useQueryClient } from '@tanstack/react-query';
import { varveEventSchema } from '@varve/contract';
import { useEffect, useState } from 'react';
import { applyEvent } from './apply-event.ts';

export type Connection = 'connecting' | 'open' | 'lost';

const retryMinimumMs = 1_000;
const retryMaximumMs = 15_000;

/** Connects while `enabled`; reconnects by itself with growing pauses. */
export function useEvents(enabled: boolean): Connection {
  const client = useQueryClient();
  const [connection, setConnection] = useState<Connection>('connecting');

  useEffect(() => {
    if (!enabled) return undefined;
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let pauseMs = retryMinimumMs;
    let interrupted = false;

    const connect = (): void => {
      source = new EventSource('/api/events');
      source.addEventListener('open', () => {
        pauseMs = retryMinimumMs;
        setConnection('open');
        if (interrupted) void client.invalidateQueries();
        interrupted = false;
      });
      source.addEventListener('message', (message: MessageEvent<string>) => {
        const event = varveEventSchema.safeParse(parsed(message.data));
        if (event.success) applyEvent(client, event.data);
      });
      source.addEventListener('error', () => {
        source?.close();
        interrupted = true;
        setConnection('lost');
        void client.invalidateQueries({ queryKey: ['session'] });
        timer = setTimeout(connect, pauseMs);
        pauseMs = Math.min(pauseMs * 2, retryMaximumMs);
      });
    };

    connect();
    return () => {
      source?.close();
      clearTimeout(timer);
    };
  }, [client, enabled]);

  return connection;
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data) as unknown;
  } catch {
    return undefined;
  }
}
