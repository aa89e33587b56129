// A component of an app in one line.

import type { Component } from '@varve/contract';
import { printable } from './text.ts';

const methodNames = { dump: 'dump', base: 'base backup', both: 'base backup and dump' } as const;

export function componentLine(component: Component): string {
  return printable(`${component.kind.padEnd(8)}  ${component.name}: ${sourceOf(component)}`);
}

function sourceOf(component: Component): string {
  switch (component.kind) {
    case 'volume': {
      const { source, excludes } = component;
      const where = source.type === 'docker-volume' ? `Docker volume ${source.volume}` : source.path;
      return excludes.length === 0 ? where : `${where}, without ${excludes.join(', ')}`;
    }
    case 'database': {
      const { source, method, maxRateKBps, wal } = component;
      const where = source.type === 'container' ? `in the service ${source.service}` : source.display;
      const rate = method === 'dump' || maxRateKBps === undefined ? '' : `, at most ${maxRateKBps} kB/s`;
      return `PostgreSQL ${where}, by ${methodNames[method]}${rate}${wal ? ', its log is captured' : ''}`;
    }
    case 'code':
      return component.path;
    case 'config':
      return component.files.length === 0 ? 'container specifications' : component.files.join(', ');
  }
}
