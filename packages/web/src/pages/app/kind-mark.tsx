// The kind of a snapshot as a shape: a band is scheduled, a diamond manual, a triangle before a deployment, a ring before a
// restore. The word always stands beside it or in its title.

import type { SnapshotKind } from '@varve/contract';
import type { ReactNode } from 'react';

export function KindMark({ kind, size = 12 }: { readonly kind: SnapshotKind; readonly size?: number }): ReactNode {
  return (
    <svg viewBox="0 0 12 12" width={size} height={size} aria-hidden="true" className="shrink-0">
      {kind === 'scheduled' && <rect x="0" y="4" width="12" height="4" rx="1" className="fill-s3" />}
      {kind === 'manual' && <path d="M6 0 12 6 6 12 0 6z" className="fill-accent" />}
      {kind === 'pre-deploy' && <path d="M6 .5 12 11.5H0z" className="fill-s4" />}
      {kind === 'pre-restore' && (
        <circle cx="6" cy="6" r="4.5" className="fill-transparent stroke-s5" strokeWidth="2.6" />
      )}
    </svg>
  );
}
