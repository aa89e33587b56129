// Which databases of an app are captured, and the name of the right to capture one.

import type { App, Component, DatabaseComponent } from '@varve/contract';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';

export interface CapturedDatabase<A = App> {
  readonly owner: WalOwner;
  readonly app: A;
  readonly component: DatabaseComponent;
}

export function capturedDatabases<A extends { readonly id: string; readonly components: readonly Component[] }>(
  app: A,
): CapturedDatabase<A>[] {
  return app.components.flatMap((component) =>
    component.kind === 'database' && component.wal === true
      ? [{ owner: { appId: app.id, component: component.name }, app, component }]
      : [],
  );
}

/** Whether a database's log is streamed, so that its server keeps a slot for us. */
export function isStreamed({ component }: Pick<CapturedDatabase, 'component'>): boolean {
  return component.walArchive === undefined;
}

/** One process of the installation has it. */
export function captureClaim({ appId, component }: WalOwner): string {
  return `wal:${appId}/${component}`;
}
