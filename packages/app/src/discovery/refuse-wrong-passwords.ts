// A wrong password is found when an app is added, not when its first snapshot fails.

import { AppError, isAppError } from '@varve/base';
import type { Component } from '@varve/contract';
import { connectPostgres, parsePostgresUrl } from '@varve/postgres';
import type { PlannedApp } from '../use-case.ts';

const connectTimeoutMs = 10_000;

/**
 * Throws DATABASE_AUTH_FAILED when a database of a new app refuses the user or password of its URL. One that does not
 * answer now may answer when it is saved, and is no reason to refuse the app.
 */
export async function refuseWrongPasswords(app: PlannedApp): Promise<void> {
  for (const component of app.components) {
    const secret = app.secrets.find(({ name }) => name === urlSecretOf(component));
    if (component.kind !== 'database' || secret === undefined) continue;
    const location = parsePostgresUrl(secret.value, { defaultUser: 'postgres' });
    const replication = component.method === 'dump' ? undefined : ('database' as const);
    try {
      await using connection = await connectPostgres({
        ...location,
        replication,
        signal: AbortSignal.timeout(connectTimeoutMs),
      });
      void connection;
    } catch (error) {
      if (!isAppError(error, 'DATABASE_AUTH_FAILED')) continue;
      const message = `The app was not added, because its database “${component.name}” cannot be read: ${error.message}`;
      throw new AppError(error.code, message, { hint: error.hint, cause: error });
    }
  }
}

function urlSecretOf(component: Component): string | undefined {
  return component.kind === 'database' && component.source.type === 'url' ? component.source.urlSecret : undefined;
}
