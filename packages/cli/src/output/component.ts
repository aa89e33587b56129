// A component of an app in one line.

import type { Component } from '@varve/contract';
import { printable } from './text.ts';

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
      const { source, method, wal } = component;
      const where = source.type === 'container' ? `in the service ${source.service}` : source.display;
      return `PostgreSQL ${where}, by ${method === 'dump' ? 'dump' : 'base backup'}${wal ? ', its log is captured' : ''}`;
    }
    case 'code':
      return component.path;
    case 'config':
      return component.files.length === 0 ? 'container specifications' : component.files.join(', ');
  }
}
