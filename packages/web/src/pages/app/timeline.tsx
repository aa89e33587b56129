// The strip of the last days as a core of sediment: each day is a column, each snapshot a thin band laid on the one before.
// Named kinds are marks above their day; failed and missed days stay empty and are hatched. Arrow keys step through days.

import type { AppSnapshot, SnapshotKind } from '@varve/contract';
import { useRef } from 'react';
import type { KeyboardEvent, ReactNode } from 'react';
import type { DayState, TimelineDay } from '../../domain/timeline.ts';
import { useLocale } from '../../i18n/locale.tsx';
import type { Locale } from '../../i18n/locale.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';
import { KindMark } from './kind-mark.tsx';

/** More bands than this would not be told apart. */
const maximumBands = 12;
/** On narrow screens only the newest days, so that each can be touched. */
const narrowDays = 14;

const bandTones = ['bg-s2', 'bg-s3', 'bg-s1', 'bg-s2', 'bg-s4', 'bg-s2'];

interface TimelineProps {
  readonly days: readonly TimelineDay[];
  readonly selected: string | null;
  readonly onSelect: (key: string | null) => void;
  readonly loading: boolean;
}

export function Timeline({ days, selected, onSelect, loading }: TimelineProps): ReactNode {
  const locale = useLocale();
  const { t, format } = locale;
  const list = useRef<HTMLOListElement>(null);
  const gaps = days.filter(({ state }) => state === 'failed' || state === 'missed').length;
  const bandPx = bandHeight(days);
  const focusable = selected ?? days.at(-1)?.key;

  const step = (event: KeyboardEvent): void => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -days.length, End: days.length }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const buttons = [...(list.current?.querySelectorAll('button') ?? [])].filter(
      (button) => button.offsetParent !== null,
    );
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    buttons[Math.min(buttons.length - 1, Math.max(0, at + move))]?.focus();
  };

  return (
    <Card className="p-5 sm:p-6" aria-labelledby="timeline-title">
      <CardHeading
        id="timeline-title"
        action={
          !loading &&
          days.some(({ snapshots }) => snapshots.length > 0) && (
            <span className={`text-sm ${gaps > 0 ? 'font-medium text-warn' : 'text-ink-2'}`}>
              {gaps > 0 ? t('timeline.missedDays', { count: gaps }) : t('timeline.noGaps')}
            </span>
          )
        }
      >
        {t('timeline.title')}
      </CardHeading>
      <p className="text-sm text-ink-2">{t('timeline.text')}</p>
      <ol
        ref={list}
        aria-label={t('timeline.title')}
        className={`mt-4 flex items-end gap-px sm:gap-0.5 ${loading ? 'opacity-40' : ''}`}
      >
        {days.map((day, index) => (
          <li key={day.key} className={`min-w-0 flex-1 ${index < days.length - narrowDays ? 'max-sm:hidden' : ''}`}>
            <button
              type="button"
              tabIndex={day.key === focusable ? 0 : -1}
              aria-pressed={day.key === selected}
              aria-label={dayLabel(day, locale)}
              title={dayLabel(day, locale)}
              onKeyDown={step}
              onClick={() => onSelect(day.key === selected ? null : day.key)}
              className="group block w-full rounded-sm outline-offset-0"
            >
              <DayColumn day={day} bandPx={bandPx} />
            </button>
          </li>
        ))}
      </ol>
      <div aria-hidden="true" className="numbers mt-1.5 flex gap-px text-[0.6875rem] text-ink-2 sm:gap-0.5">
        {days.map((day, index) => (
          <span
            key={day.key}
            className={`relative h-4 min-w-0 flex-1 ${index < days.length - narrowDays ? 'max-sm:hidden' : ''}`}
          >
            {showsDate(index, days.length) && (
              <span className={`absolute whitespace-nowrap ${index === days.length - 1 ? 'right-0' : 'left-0'}`}>
                {index === days.length - 1 ? t('time.today') : format.dayShort(day.key)}
              </span>
            )}
          </span>
        ))}
      </div>
      <Legend />
    </Card>
  );
}

/** As thick as the fullest day lets them be, with room for its marks. */
function bandHeight(days: readonly TimelineDay[]): number {
  const most = Math.min(maximumBands, Math.max(1, ...days.map(({ snapshots }) => snapshots.length)));
  return Math.min(9, Math.floor(62 / most) - 1);
}

/** A date every week, counted back from today. */
function showsDate(index: number, count: number): boolean {
  const back = count - 1 - index;
  return back % 7 === 0;
}

function dayLabel(day: TimelineDay, { t, format }: Locale): string {
  const parts = [format.dayLong(`${day.key}T12:00:00`)];
  parts.push(
    day.snapshots.length > 0 ? t('timeline.day.saved', { count: day.snapshots.length }) : t(emptyDayKey(day.state)),
  );
  if (day.failures > 0 && day.state !== 'failed') parts.push(t('timeline.failures', { count: day.failures }));
  const named = day.snapshots.filter(({ kind }) => kind !== 'scheduled');
  for (const snapshot of named) parts.push(snapshot.name ?? t(`kind.${snapshot.kind}`));
  return parts.join(' · ');
}

function emptyDayKey(state: DayState) {
  return `timeline.day.${state === 'saved' || state === 'issue' ? 'waiting' : state}` as const;
}

function DayColumn({ day, bandPx }: { readonly day: TimelineDay; readonly bandPx: number }): ReactNode {
  const marks = [...new Set(day.snapshots.map(({ kind }) => kind))].filter((kind) => kind !== 'scheduled');
  return (
    <span className="flex h-24 flex-col justify-end overflow-hidden rounded-sm bg-sunken/60 group-hover:bg-sunken group-aria-pressed:bg-accent-soft group-aria-pressed:outline-2 group-aria-pressed:-outline-offset-2 group-aria-pressed:outline-accent">
      <span className="flex flex-col items-center gap-0.5 pb-1">
        {day.failures > 0 && <FailureMark />}
        {marks.map((kind) => (
          <KindMark key={kind} kind={kind} size={10} />
        ))}
      </span>
      <Bands snapshots={day.snapshots} bandPx={bandPx} />
      <Ground state={day.state} />
    </span>
  );
}

function FailureMark(): ReactNode {
  return (
    <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
      <path d="M1.5 1.5 8.5 8.5M8.5 1.5 1.5 8.5" className="stroke-bad-mark" strokeWidth="2.2" strokeLinecap="round" />
    </svg>
  );
}

function Bands({
  snapshots,
  bandPx,
}: {
  readonly snapshots: readonly AppSnapshot[];
  readonly bandPx: number;
}): ReactNode {
  return snapshots
    .slice(-maximumBands)
    .toReversed()
    .map((snapshot) => (
      <span
        key={snapshot.id}
        style={{ height: bandPx }}
        className={`mb-px block w-full ${
          snapshot.partial ? 'hatched bg-s1 [--hatch:var(--bad-mark)]' : bandTones[toneIndex(snapshot)]
        }`}
      />
    ));
}

/** A tone that belongs to the snapshot, so that a band keeps its colour when others come or go. */
function toneIndex(snapshot: AppSnapshot): number {
  return Number.parseInt(snapshot.id.slice(0, 4), 16) % bandTones.length;
}

function Ground({ state }: { readonly state: DayState }): ReactNode {
  if (state === 'missed') return <span className="hatched block h-10 w-full border-b-2 border-warn-mark" />;
  if (state === 'failed')
    return <span className="hatched block h-10 w-full border-b-2 border-bad-mark [--hatch:var(--bad-mark)]" />;
  if (state === 'thinned') return <span className="mb-px block h-0 w-full border-b-2 border-dotted border-s3" />;
  return <span className="block h-px w-full bg-line" />;
}

const kinds: readonly SnapshotKind[] = ['scheduled', 'manual', 'pre-deploy', 'pre-restore'];

function Legend(): ReactNode {
  const { t } = useLocale();
  return (
    <ul aria-label={t('timeline.legend')} className="mt-4 flex flex-wrap gap-x-5 gap-y-1.5 text-xs text-ink-2">
      {kinds.map((kind) => (
        <li key={kind} className="inline-flex items-center gap-1.5">
          <KindMark kind={kind} />
          {t(`kind.${kind}`)}
        </li>
      ))}
      <li className="inline-flex items-center gap-1.5">
        <FailureMark />
        {t('timeline.failed')}
      </li>
      <li className="inline-flex items-center gap-1.5">
        <span aria-hidden="true" className="hatched inline-block size-3" />
        {t('timeline.missed')}
      </li>
      <li className="inline-flex items-center gap-1.5">
        <span aria-hidden="true" className="inline-block w-3 border-b-2 border-dotted border-s3" />
        {t('timeline.thinned')}
      </li>
    </ul>
  );
}
