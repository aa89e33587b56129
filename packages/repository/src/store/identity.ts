// Who writes: this host and user, as they are noted in keys, locks and snapshots.

import { hostname, userInfo } from 'node:os';

export interface Identity {
  readonly hostname: string;
  readonly username: string;
}

/** This host's name and user; a user without an entry in the system's list is named by its number. */
export function systemIdentity(): Identity {
  try {
    return { hostname: hostname(), username: userInfo().username };
  } catch {
    return { hostname: hostname(), username: String(process.getuid?.() ?? '') };
  }
}
