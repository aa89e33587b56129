// Turns the capture of databases on and off. Log is of use only with base backups: a database that was saved by dumps alone is saved
// by both from then on.

import { AppError } from '@varve/base';
import type { App, DatabaseComponent } from '@varve/contract';
import type { Installation } from '../installation.ts';
import { refuseUncapturable } from './refuse-uncapturable.ts';

/** How a database is saved while its log is captured. */
export function capturedMethod(method: DatabaseComponent['method']): DatabaseComponent['method'] {
  return method === 'dump' ? 'both' : method;
}

/** The app as it is then. APP_NOT_FOUND; APP_INVALID when there is no such database or its server cannot be captured; DATABASE_…. */
export async function turnCapture(
  { apps, secrets, docker }: Pick<Installation, 'apps' | 'secrets' | 'docker'>,
  appId: string,
  { enabled, component }: { readonly enabled: boolean; readonly component?: string | undefined },
): Promise<App> {
  const app = structuredClone(await apps.get(appId));
  const changed = app.components.filter(
    (one): one is DatabaseComponent => one.kind === 'database' && (component === undefined || one.name === component),
  );
  if (changed.length === 0) {
    const what = component === undefined ? 'no database' : `no database “${component}”`;
    throw new AppError('APP_INVALID', `The app ${appId} has ${what}.`, { context: { appId, component } });
  }
  if (enabled) {
    const components = changed.filter(({ wal }) => wal !== true);
    await refuseUncapturable({ app, components, secrets, docker: () => docker.get(), mayBeAway: false });
  }
  for (const one of changed) {
    one.wal = enabled;
    if (enabled) one.method = capturedMethod(one.method);
  }
  await apps.update(app);
  return app;
}
