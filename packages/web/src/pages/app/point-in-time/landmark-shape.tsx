// Shapes of the moments that have a name: a flag for a named point, a disc for a snapshot (a ring without a base backup of the
// database), a notch for a restart. Each is a shape and a colour.

import type { ReactNode } from 'react';
import type { Landmark } from '../../../domain/reachable.ts';

interface LandmarkShapeProps {
  readonly mark: Landmark;
  readonly x: number;
  /** The ground it stands on. */
  readonly y: number;
  readonly width: number;
  /** Shown under the pointer. */
  readonly title?: string;
}

export function LandmarkShape({ title, ...rest }: LandmarkShapeProps): ReactNode {
  if (rest.x < 0 || rest.x > rest.width) return null;
  return (
    <g>
      {title !== undefined && <title>{title}</title>}
      <Shape {...rest} />
    </g>
  );
}

function Shape({ mark, x, y, width }: Omit<LandmarkShapeProps, 'title'>): ReactNode {
  switch (mark.kind) {
    case 'point': {
      // Near the right end the cloth flies to the left, so that it is not cut off.
      const direction = x > width - 12 ? -1 : 1;
      return (
        <g>
          <line x1={x} x2={x} y1={y - 14} y2={y + 2} className="stroke-accent" strokeWidth={1.5} />
          <path
            d={`M${x} ${y - 14}h${direction * 9}l${direction * -3} 3.5 ${direction * 3} 3.5h${direction * -9}z`}
            className="fill-accent"
          />
        </g>
      );
    }
    case 'restart':
      return <path d={`M${x - 4} ${y - 5}h8l-4 6z`} className="fill-ink-2" />;
    case 'snapshot': {
      const hasBase = (mark.snapshot?.bases.length ?? 0) > 0;
      return (
        <circle
          cx={x}
          cy={y - 3}
          r={3.25}
          className={hasBase ? 'fill-s4 stroke-s4' : 'fill-surface stroke-s3'}
          strokeWidth={1.5}
        />
      );
    }
  }
}
