// The motif: thin layers of sediment, lying one over the other. Decoration only, hidden from assistive technology.

import { useId } from 'react';
import type { ReactNode } from 'react';

/** Thickness and tone of the layers, from the top; the unevenness is fixed, so that it never flickers. */
const layers: readonly (readonly [height: number, tone: string])[] = [
  [5, 'fill-s1'],
  [2, 'fill-s3'],
  [8, 'fill-s2'],
  [1.5, 'fill-s4'],
  [4, 'fill-s1'],
  [3, 'fill-s2'],
  [1.5, 'fill-s5'],
  [7, 'fill-s1'],
  [2.5, 'fill-s3'],
  [5, 'fill-s2'],
  [1.5, 'fill-s4'],
  [9, 'fill-s1'],
  [2, 'fill-s2'],
  [4, 'fill-s3'],
  [2, 'fill-s5'],
  [6, 'fill-s1'],
];

const height = layers.reduce((sum, [thickness]) => sum + thickness, 0);

interface Layer {
  readonly top: number;
  readonly thickness: number;
  readonly tone: string;
}

/** The layers with their upper edges. */
function edgesOf(sequence: typeof layers): Layer[] {
  const placed: Layer[] = [];
  let top = 0;
  for (const [thickness, tone] of sequence) {
    placed.push({ top, thickness, tone });
    top += thickness;
  }
  return placed;
}

interface StrataSectionProps {
  /** How often the sequence of layers is repeated: more, thinner layers where there is much room. */
  readonly repeat?: number;
  readonly className?: string;
}

/** A gently folded section through the layers, as wide as its place. */
export function StrataSection({ repeat = 1, className = '' }: StrataSectionProps): ReactNode {
  const all = edgesOf(Array.from({ length: repeat }, () => layers).flat());
  return (
    <svg
      viewBox={`0 0 400 ${height * repeat}`}
      preserveAspectRatio="none"
      aria-hidden="true"
      className={`block w-full bg-s1 ${className}`}
    >
      {all.map(({ top, tone }) => (
        <path key={top} className={tone} d={layerPath(top, height * repeat)} />
      ))}
    </svg>
  );
}

/** Everything below a folded edge; the next layer is drawn over it, so that no gap can open between two. */
function layerPath(edge: number, bottom: number): string {
  const start = edge + 2.5 * Math.sin(edge / 7);
  const end = edge + 2 * Math.sin(edge / 11 + 2);
  const fold = 3.5 + 1.5 * Math.sin(edge / 17);
  return `M0 ${start}C130 ${edge - fold} 270 ${edge + fold} 400 ${end}V${bottom + 8}H0Z`;
}

/** A round core sample: the picture of an empty state. */
export function CoreSample({ size = 104 }: { readonly size?: number }): ReactNode {
  const clip = useId();
  return (
    <svg viewBox="0 0 80 80" width={size} height={size} aria-hidden="true">
      <clipPath id={clip}>
        <circle cx="40" cy="40" r="38" />
      </clipPath>
      <g clipPath={`url(#${clip})`}>
        <rect width="80" height="80" className="fill-sunken" />
        {edgesOf(layers).map(({ top, tone }) => (
          <path key={top} className={tone} d={`M-2 ${top + 18} Q40 ${top + 24 + (top % 3)} 82 ${top + 16} V82 H-2Z`} />
        ))}
      </g>
      <circle cx="40" cy="40" r="38" className="fill-transparent stroke-line-strong" strokeWidth="1" />
    </svg>
  );
}

const bandTones = ['bg-s5', 'bg-s1', 'bg-s2', 'bg-s4', 'bg-s1', 'bg-s3'];

/** Thin stripes over the whole width, at the top of the page. */
export function StrataRule(): ReactNode {
  return (
    <div aria-hidden="true">
      {bandTones.map((tone, index) => (
        <div key={index} className={`${index % 2 === 0 ? 'h-[2px]' : 'h-px'} ${tone}`} />
      ))}
    </div>
  );
}
