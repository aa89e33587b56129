// Where the server of a database component is, for sessions of the replication protocol.

import { AppError } from '@varve/base';
import type { App, DatabaseComponent } from '@varve/contract';
import type { ConnectOptions } from '@varve/postgres';
import { databaseAccess } from '../components/database/database-access.ts';
import type { SecretReader } from '../use-case.ts';

export interface CaptureLocationInput {
  readonly app: App;
  readonly component: DatabaseComponent;
  readonly secrets: SecretReader;
  readonly signal: AbortSignal;
}

/** SETTINGS_INVALID for a server without a URL, or when the URL is not stored here. */
export async function captureLocation({ component, secrets, signal }: CaptureLocationInput): Promise<ConnectOptions> {
  const location =
    component.source.type === 'url'
      ? (await databaseAccess({ component, secrets, project: null, signal })).location
      : null;
  if (location !== null) return location;
  throw new AppError('SETTINGS_INVALID', `The database "${component.name}" cannot be reached by a URL.`, {
    hint: 'Its write-ahead log can be captured when the app is added with the URL of its server.',
  });
}
