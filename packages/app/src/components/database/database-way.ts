// A way to the server of a database component, as plain data.

import type { ConnectOptions } from '@varve/postgres';

/** In the order in which they are tried: the fastest first, the one that always finds the right server last. */
export type DatabaseWayKind = 'url' | 'network' | 'published-port' | 'unix-socket' | 'container';

/** A way that may work. */
export interface DatabaseWay {
  readonly kind: DatabaseWayKind;
  readonly options: ConnectOptions;
  /**
   * Whether another server could answer there: an address of a container means something else on another machine, and one of
   * loopback something else in another container.
   */
  readonly needsProof: boolean;
}

/** A way that cannot be tried. */
export interface MissingWay {
  readonly kind: DatabaseWayKind;
  readonly reason: string;
}

/** The way that worked, of one run of one container. */
export interface WayMemory {
  found: { readonly key: string; readonly way: DatabaseWay } | null;
}
