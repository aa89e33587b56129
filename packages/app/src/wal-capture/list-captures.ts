// How the captures of an app stand, for whoever asks in whatever process: as the process that captures wrote it down, and whether
// there is one.

import type { Clock } from '@varve/base';
import type { App, WalCapture } from '@varve/contract';
import type { Claims } from '../jobs/claims.ts';
import type { CaptureStore } from './capture-store.ts';
import { CaptureStatus } from './capture-status.ts';
import { captureClaim, capturedDatabases } from './captured-databases.ts';
import { slotNameOf } from './slot-name.ts';

export interface ListCapturesOptions {
  readonly apps: readonly App[];
  readonly store: CaptureStore;
  readonly claims: Claims;
  readonly installationId: string;
  readonly clock: Clock;
}

/** In the order of the apps. One that nobody captures now is `off`. */
export async function listCaptures(options: ListCapturesOptions): Promise<WalCapture[]> {
  const { apps, store, claims, installationId, clock } = options;
  const known = new Map((await store.list()).map((one) => [captureClaim(one), one]));
  const captures: WalCapture[] = [];
  for (const database of apps.flatMap((one) => capturedDatabases(one))) {
    const { owner, app } = database;
    const claim = captureClaim(owner);
    const archive = database.component.walArchive;
    const slot = archive === undefined ? slotNameOf(installationId, owner) : null;
    const fresh = new CaptureStatus({ ...owner, slot, archive, clock, onChange: () => {} }).describe();
    const saved = known.get(claim);
    // Of the way that it was captured in before only the past counts.
    const capture = saved?.way === fresh.way ? saved : fresh;
    const isOn = await claims.isTaken(claim);
    const since = known.has(claim) ? capture.updatedAt : app.createdAt;
    captures.push(isOn ? capture : { ...capture, state: 'off', since, problem: null });
  }
  return captures;
}
