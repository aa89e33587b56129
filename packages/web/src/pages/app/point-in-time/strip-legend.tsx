// What the shapes of the strip mean; only those that can be seen.

import type { DatabaseTimeline } from '@varve/contract';
import type { ReactNode } from 'react';
import type { Landmark } from '../../../domain/reachable.ts';
import { useLocale } from '../../../i18n/locale.tsx';
import { LandmarkShape } from './landmark-shape.tsx';

interface StripLegendProps {
  readonly database: DatabaseTimeline;
  readonly landmarks: readonly Landmark[];
}

export function StripLegend({ database, landmarks }: StripLegendProps): ReactNode {
  const { t } = useLocale();
  const { ranges, gaps, unreachable } = database;
  const shapes: readonly (readonly [Landmark | undefined, string])[] = [
    [landmarks.find(({ kind }) => kind === 'point'), t('reach.legend.point')],
    [landmarks.find(({ snapshot }) => (snapshot?.bases.length ?? 0) > 0), t('reach.legend.base')],
    [landmarks.find(({ snapshot }) => snapshot?.bases.length === 0), t('reach.legend.snapshot')],
    [landmarks.find(({ kind }) => kind === 'restart'), t('reach.legend.restart')],
  ];
  return (
    <ul aria-label={t('timeline.legend')} className="mt-3 flex flex-wrap gap-x-5 gap-y-1.5 text-xs text-ink-2">
      {ranges.length > 0 && <Swatch look="bg-s5" text={t('reach.legend.any')} />}
      {gaps.length > 0 && <Swatch look="hatched bg-bad-soft [--hatch:var(--bad-mark)]" text={t('reach.legend.gap')} />}
      {unreachable.length > 0 && <Swatch look="hatched bg-warn-soft" text={t('reach.legend.waiting')} />}
      {ranges.some(({ branch }) => branch === 'abandoned') && <Swatch look="bg-s3 h-1" text={t('reach.legend.left')} />}
      {shapes.map(
        ([mark, text]) =>
          mark && (
            <li key={text} className="inline-flex items-center gap-1.5">
              <svg width={14} height={16} aria-hidden="true">
                <LandmarkShape
                  mark={mark}
                  x={mark.kind === 'point' ? 3 : 7}
                  y={mark.kind === 'point' ? 15 : 11}
                  width={100}
                />
              </svg>
              {text}
            </li>
          ),
      )}
    </ul>
  );
}

function Swatch({ look, text }: { readonly look: string; readonly text: string }): ReactNode {
  return (
    <li className="inline-flex items-center gap-1.5">
      <span aria-hidden="true" className={`inline-block w-4 rounded-sm ${look.includes('h-') ? '' : 'h-3'} ${look}`} />
      {text}
    </li>
  );
}
