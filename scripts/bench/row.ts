// A row of the benchmark: the same work by Varve and by a peer.

import type { Figures } from './measure.ts';

export interface Row {
  readonly name: string;
  /** Who the peer is. */
  readonly peer: string;
  readonly floor: string;
  readonly goal: string;
  /** Once, before the first run. */
  readonly prepare?: (() => Promise<void>) | undefined;
  readonly runVarve: () => Promise<Figures>;
  readonly runPeer: () => Promise<Figures>;
}
