// Where the server of a captured database is, asked for before every connection: in its container, or by its URL.

import type { App, DatabaseComponent } from '@varve/contract';
import type { ConnectOptions } from '@varve/postgres';
import { databaseAccess, type DatabaseAccess } from '../components/database/database-access.ts';
import { databaseLocation } from '../components/database/database-location.ts';
import { projectOf } from '../components/docker-project.ts';
import type { RunContext, SecretReader } from '../use-case.ts';

export interface CaptureLocationInput {
  readonly app: Pick<App, 'origin'>;
  readonly component: DatabaseComponent;
  readonly secrets: SecretReader;
  readonly docker: RunContext['docker'];
  readonly signal: AbortSignal;
}

/** How to reach the component now. Throws as `databaseAccess`, DOCKER_UNREACHABLE. */
export async function captureAccess({
  app,
  component,
  secrets,
  docker,
  signal,
}: CaptureLocationInput): Promise<DatabaseAccess> {
  const project = await projectOf({ docker, signal }, app);
  return databaseAccess({ component, secrets, project, signal });
}

/** The question of a receiver; which way worked is remembered between calls. Throws as `databaseLocation`. */
export function captureLocation(input: CaptureLocationInput): () => Promise<ConnectOptions> {
  let locate: (() => Promise<ConnectOptions>) | undefined;
  return async () => {
    locate ??= databaseLocation(await captureAccess(input), { signal: input.signal });
    return locate();
  };
}
