// The strip of the last day, week or month as one continuous band: what can be reached, gaps, what waits for a base backup, with
// snapshots, named points and restarts above it, and what was left behind below. A needle stands at the chosen moment; it is a slider.

import type { DatabaseTimeline } from '@varve/contract';
import { useEffect, useRef, useState } from 'react';
import type { KeyboardEvent, PointerEvent, ReactNode } from 'react';
import {
  judge,
  latestReachable,
  oldestReachable,
  snapTo,
  stretchOf,
  ticksOf,
  timeAt,
  xOf,
} from '../../../domain/reachable.ts';
import type { Landmark, Scale, Span } from '../../../domain/reachable.ts';
import { useLocale } from '../../../i18n/locale.tsx';
import { LandmarkShape } from './landmark-shape.tsx';

const bandTop = 26;
const bandHeight = 34;
const leftBehindTop = bandTop + bandHeight + 5;
const axisTop = leftBehindTop + 9;
const height = axisTop + 18;
const snapPx = 7;
const tickPx = 84;

interface RecoveryStripProps {
  readonly database: DatabaseTimeline;
  readonly landmarks: readonly Landmark[];
  readonly window: Span;
  /** Null for the latest moment. */
  readonly at: number | null;
  readonly onAt: (at: number) => void;
}

export function RecoveryStrip({ database, landmarks, window, at, onAt }: RecoveryStripProps): ReactNode {
  const { t, format } = useLocale();
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const scale: Scale = { ...window, width };
  const latest = latestReachable(database);
  const shown = at ?? latest;
  const shownText = shown === null ? t('reach.none') : valueText(shown);

  function valueText(moment: number): string {
    const isReachable = judge(database, moment).state === 'reachable';
    return `${format.moment(moment)}, ${t(isReachable ? 'reach.can' : 'reach.cannot')}`;
  }

  function titleOf({ kind, at: moment, name, snapshot }: Landmark): string {
    const base = (snapshot?.bases.length ?? 0) > 0;
    const what = t(`reach.legend.${kind === 'snapshot' && base ? 'base' : kind}`);
    return [format.moment(moment), what, ...(name === null ? [] : [name])].join(' · ');
  }

  const point = (event: PointerEvent): void => {
    const left = box.current?.getBoundingClientRect().left ?? 0;
    const within = (snapPx / width) * (window.to - window.from);
    onAt(snapTo(database, { at: timeAt(scale, event.clientX - left), landmarks, within }));
  };
  const step = (event: KeyboardEvent): void => {
    const target = keyTarget(event, { from: shown ?? window.to, window, database, landmarks });
    if (target === undefined) return;
    event.preventDefault();
    onAt(target);
  };

  return (
    <div
      ref={box}
      role="slider"
      tabIndex={0}
      aria-label={t('reach.strip')}
      aria-valuemin={Math.floor(window.from / 1000)}
      aria-valuemax={Math.floor(window.to / 1000)}
      aria-valuenow={Math.floor((shown ?? window.to) / 1000)}
      aria-valuetext={shownText}
      onKeyDown={step}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        point(event);
      }}
      onPointerMove={(event) => {
        if (event.buttons > 0) point(event);
      }}
      className="mt-4 touch-pan-y cursor-crosshair select-none rounded-md"
    >
      <svg width={width} height={height} aria-hidden="true" className="block max-w-full overflow-visible">
        <Patterns />
        <rect x={0} y={bandTop} width={width} height={bandHeight} rx={5} className="fill-sunken" />
        <Bands database={database} scale={scale} />
        <Axis scale={scale} />
        {landmarks.map((mark, index) => (
          <LandmarkShape
            key={index}
            mark={mark}
            x={xOf(scale, mark.at)}
            y={bandTop - 4}
            width={width}
            title={titleOf(mark)}
          />
        ))}
        {shown !== null && shown >= window.from && (
          <Needle x={xOf(scale, Math.min(shown, window.to))} isLatest={at === null} />
        )}
      </svg>
    </div>
  );
}

/** The width of an element, as it changes; something sensible before it is laid out. */
function useWidth(box: React.RefObject<HTMLDivElement | null>): number {
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setWidth(Math.max(120, element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return width;
}

const minuteMs = 60_000;

/** Arrows step by a minute, with Shift by a second, with Ctrl to the next landmark; pages by a twelfth of the window. */
function keyTarget(
  event: KeyboardEvent,
  about: {
    readonly from: number;
    readonly window: Span;
    readonly database: DatabaseTimeline;
    readonly landmarks: readonly Landmark[];
  },
): number | undefined {
  const { from, window, database, landmarks } = about;
  const page = (window.to - window.from) / 12;
  const direction = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -1, PageUp: 1 }[event.key];
  if (event.key === 'Home') return Math.max(window.from, oldestReachable(database) ?? window.from);
  if (event.key === 'End') return latestReachable(database) ?? window.to;
  if (direction === undefined) return undefined;
  if (event.ctrlKey || event.metaKey) {
    const marks = landmarks.map(({ at }) => at).filter((at) => (at - from) * direction > 999);
    return direction > 0 ? marks[0] : marks.at(-1);
  }
  const isPage = event.key.startsWith('Page');
  const by = isPage ? page : event.shiftKey ? 1000 : minuteMs;
  return Math.min(window.to, Math.max(window.from, from + direction * by));
}

function Patterns(): ReactNode {
  const hatch = (id: string, look: string): ReactNode => (
    <pattern id={id} width={6} height={6} patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <line x1={0} y1={0} x2={0} y2={6} className={look} strokeWidth={2.5} />
    </pattern>
  );
  return (
    <defs>
      {hatch('hatch-gap', 'stroke-bad-mark')}
      {hatch('hatch-waiting', 'stroke-warn-mark')}
    </defs>
  );
}

function Bands({ database, scale }: { readonly database: DatabaseTimeline; readonly scale: Scale }): ReactNode {
  const { ranges, gaps, unreachable } = database;
  const spans = (items: readonly { readonly fromAt: string | null; readonly toAt: string | null }[]): Span[] =>
    items.flatMap(({ fromAt, toAt }) =>
      fromAt === null ? [] : [{ from: Date.parse(fromAt), to: toAt === null ? scale.to : Date.parse(toAt) }],
    );
  const block = (
    list: readonly Span[],
    look: {
      readonly className: string;
      readonly fill?: string;
      readonly y?: number;
      readonly height?: number;
      readonly leastPx?: number;
    },
  ): ReactNode =>
    list.map((span, index) => {
      const stretch = stretchOf(scale, span, look.leastPx ?? 2);
      return (
        stretch && (
          <rect
            key={index}
            x={stretch.x}
            y={look.y ?? bandTop}
            width={stretch.width}
            height={look.height ?? bandHeight}
            rx={Math.min(4, stretch.width / 2)}
            className={look.className}
            {...(look.fill === undefined ? {} : { fill: look.fill })}
          />
        )
      );
    });
  const missing = spans(
    gaps
      .filter(({ branch }) => branch !== 'abandoned')
      .map(({ fromAt, toAt, healedAt }) => ({ fromAt, toAt: toAt ?? healedAt })),
  );
  const waiting = spans(unreachable);
  return (
    <>
      {block(spans(ranges.filter(({ branch }) => branch !== 'abandoned')), { className: 'fill-s5' })}
      {block(waiting, { className: 'fill-warn-soft' })}
      {block(waiting, { className: '', fill: 'url(#hatch-waiting)' })}
      {block(missing, { className: 'fill-bad-soft', leastPx: 5 })}
      {block(missing, { className: 'stroke-bad-mark', fill: 'url(#hatch-gap)', leastPx: 5 })}
      {block(spans(ranges.filter(({ branch }) => branch === 'abandoned')), {
        className: 'fill-s3',
        y: leftBehindTop,
        height: 4,
        leastPx: 4,
      })}
    </>
  );
}

function Axis({ scale }: { readonly scale: Scale }): ReactNode {
  const { format } = useLocale();
  const isLong = scale.to - scale.from > 2 * 86_400_000;
  return ticksOf(scale, isLong ? tickPx : 64).map(({ at, isDay }) => {
    const x = xOf(scale, at);
    const anchor = x < 20 ? 'start' : x > scale.width - 20 ? 'end' : 'middle';
    return (
      <g key={at}>
        <line
          x1={x}
          x2={x}
          y1={bandTop}
          y2={bandTop + bandHeight}
          className="stroke-surface"
          strokeWidth={1}
          opacity={0.35}
        />
        <line x1={x} x2={x} y1={axisTop - 5} y2={axisTop} className="stroke-line-strong" strokeWidth={1} />
        <text
          x={x}
          y={axisTop + 13}
          textAnchor={anchor}
          className={`numbers text-[0.6875rem] ${isDay ? 'fill-ink font-medium' : 'fill-ink-2'}`}
        >
          {isDay ? format.dayShort(at) : format.hourMinute(at)}
        </text>
      </g>
    );
  });
}

function Needle({ x, isLatest }: { readonly x: number; readonly isLatest: boolean }): ReactNode {
  return (
    <g>
      <line x1={x} x2={x} y1={10} y2={axisTop - 4} className="stroke-surface" strokeWidth={5} opacity={0.9} />
      <line x1={x} x2={x} y1={10} y2={axisTop - 4} className="stroke-ink" strokeWidth={2} />
      <circle
        cx={x}
        cy={8}
        r={6}
        className={isLatest ? 'fill-surface stroke-ink' : 'fill-ink stroke-surface'}
        strokeWidth={2}
      />
    </g>
  );
}
