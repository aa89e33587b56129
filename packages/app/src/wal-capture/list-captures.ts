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
  for (const { owner, app } of apps.flatMap((one) => capturedDatabases(one))) {
    const claim = captureClaim(owner);
    const slot = slotNameOf(installationId, owner);
    const capture = known.get(claim) ?? new CaptureStatus({ ...owner, slot, clock, onChange: () => {} }).describe();
    const isOn = await claims.isTaken(claim);
    const since = known.has(claim) ? capture.updatedAt : app.createdAt;
    captures.push(isOn ? capture : { ...capture, state: 'off', since, problem: null });
  }
  return captures;
}
