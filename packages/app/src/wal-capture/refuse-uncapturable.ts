// Capturing is turned on only where it can work: a server that cannot be captured is found then, and not by an alert later.

import { AppError, isAppError } from '@varve/base';
import type { App, DatabaseComponent } from '@varve/contract';
import { captureObstacles, readCaptureFacts } from '@varve/postgres';
import { openDatabase } from '../components/database/database-location.ts';
import { captureAccess, type CaptureLocationInput } from './capture-location.ts';

const timeoutMs = 30_000;

export interface CaptureCheck extends Omit<CaptureLocationInput, 'signal' | 'app' | 'component'> {
  readonly app: Pick<App, 'origin'>;
  readonly components: readonly DatabaseComponent[];
  /** Whether a server that does not answer now is let through: it may answer later. */
  readonly mayBeAway: boolean;
}

/** Throws APP_INVALID with what stands in the way, DATABASE_DENIED, DATABASE_AUTH_FAILED, and what else a server refuses with. */
export async function refuseUncapturable({ components, mayBeAway, ...input }: CaptureCheck): Promise<void> {
  for (const component of components) {
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const access = await captureAccess({ ...input, component, signal });
      await using connection = await openDatabase(access, { replication: true, signal });
      const obstacles = captureObstacles(await readCaptureFacts(connection, { signal }), { ownSenders: 1 });
      const blocking = obstacles.filter(({ severity }) => severity === 'blocks');
      if (blocking.length === 0) continue;
      const reasons = blocking.map(({ message }) => message).join('; ');
      throw new AppError('APP_INVALID', `The log of the database “${component.name}” cannot be captured: ${reasons}.`, {
        hint: blocking.map(({ hint }) => hint).join(' '),
        context: { component: component.name },
      });
    } catch (error) {
      if (!mayBeAway || !isAppError(error) || !isAway(error)) throw error;
    }
  }
}

function isAway(error: AppError): boolean {
  return ['DATABASE_UNREACHABLE', 'DOCKER_UNREACHABLE', 'ARCHIVE_SOURCE_MISSING', 'CANCELLED'].includes(error.code);
}
