// Names of replication slots: readable, at most 63 characters of what PostgreSQL allows, and different for each installation,
// app and component even where their names had to be cut.

import { createHash } from 'node:crypto';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';

const mostBytes = 63;

/** What the names of all slots of an installation begin with. */
export function slotPrefix(installationId: string): string {
  return `varve_${installationId.replaceAll('-', '').slice(0, 8)}_`;
}

/** Always the same for the same component. */
export function slotNameOf(installationId: string, { appId, component }: WalOwner): string {
  const prefix = slotPrefix(installationId);
  const digest = createHash('sha256').update(`${installationId}\0${appId}\0${component}`).digest('hex').slice(0, 8);
  const readable = `${appId}_${component}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');
  return `${prefix}${readable.slice(0, mostBytes - prefix.length - digest.length - 1)}_${digest}`;
}
