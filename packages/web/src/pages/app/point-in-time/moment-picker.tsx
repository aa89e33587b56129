// Choosing the moment: on the strip, by typing a time in a zone, or from the list of named moments. What is chosen is judged at
// once; what cannot be reached says why, and offers the nearest moments that can.

import type { App, DatabaseTimeline, TimelineSnapshot } from '@varve/contract';
import { CircleCheck, History } from 'lucide-react';
import { useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { judgementText } from '../../../domain/reach-text.ts';
import { judge, landmarksOf, latestReachable, leftBehind, onLeftTimeline } from '../../../domain/reachable.ts';
import type { Judgement, Landmark, LeftBehind } from '../../../domain/reachable.ts';
import { momentOf, typedText } from '../../../domain/typed-time.ts';
import { useLocale } from '../../../i18n/locale.tsx';
import { Button, ButtonLink } from '../../../ui/button.tsx';
import { SelectField, TextField } from '../../../ui/field.tsx';
import { Notice } from '../../../ui/notice.tsx';
import { MomentList } from './moment-list.tsx';
import { RecoveryStrip } from './recovery-strip.tsx';
import { StripLegend } from './strip-legend.tsx';

/** What is chosen; `at` is where it lies. */
export type Chosen =
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly at: number }
  | { readonly kind: 'landmark'; readonly at: number; readonly mark: Landmark };

interface MomentPickerProps {
  readonly app: App;
  readonly database: DatabaseTimeline;
  readonly snapshots: readonly TimelineSnapshot[];
  readonly days: number;
  readonly now: number;
}

export function MomentPicker({ app, database, snapshots, days, now }: MomentPickerProps): ReactNode {
  const [chosen, setChosen] = useState<Chosen>({ kind: 'latest' });
  const [wanted, setWanted] = useState<number | null>(null);
  const left = useMemo(() => leftBehind(database), [database]);
  const timeline = left.find((one) => one.timeline === wanted)?.timeline ?? null;
  const history = useMemo(
    () => (timeline === null ? database : onLeftTimeline(database, timeline)),
    [database, timeline],
  );
  const landmarks = useMemo(
    () => landmarksOf(history, timeline === null ? snapshots : []),
    [history, timeline, snapshots],
  );
  const latest = latestReachable(history);
  const at = chosen.kind === 'latest' ? latest : chosen.at;
  const window = { from: now - days * 86_400_000, to: now };
  const choose = (moment: number): void => {
    const mark = landmarks.find((one) => one.at === moment && one.kind !== 'restart');
    setChosen(mark ? { kind: 'landmark', at: moment, mark } : { kind: 'time', at: moment });
  };
  return (
    <>
      {left.length > 0 && (
        <HistoryChoice
          left={left}
          timeline={timeline}
          onTimeline={(one) => {
            setWanted(one);
            setChosen({ kind: 'latest' });
          }}
        />
      )}
      <RecoveryStrip
        database={history}
        landmarks={landmarks}
        window={window}
        at={chosen.kind === 'latest' ? null : chosen.at}
        onAt={choose}
      />
      <StripLegend database={history} landmarks={landmarks} />
      {latest !== null && (
        <div className="mt-5 grid items-start gap-4 sm:grid-cols-2 lg:grid-cols-[17rem_13rem_minmax(0,1fr)]">
          <TypedMoment at={at} zoneOfApp={app.policy.schedule.timeZone} onAt={choose} />
          <JumpTo landmarks={landmarks} chosen={chosen} onChosen={setChosen} />
        </div>
      )}
      <Verdict app={app} database={history} timeline={timeline} chosen={chosen} at={at} now={now} onAt={choose} />
      <MomentList database={database} />
    </>
  );
}

function HistoryChoice({
  left,
  timeline,
  onTimeline,
}: {
  readonly left: readonly LeftBehind[];
  readonly timeline: number | null;
  readonly onTimeline: (timeline: number | null) => void;
}): ReactNode {
  const { t, format } = useLocale();
  return (
    <div className="mt-3 max-w-md">
      <SelectField
        label={t('reach.history')}
        value={timeline ?? 'present'}
        onChange={({ target }) => onTimeline(target.value === 'present' ? null : Number(target.value))}
      >
        <option value="present">{t('reach.history.present')}</option>
        {left.map(({ timeline: one, to }) => (
          <option key={one} value={one}>
            {t('reach.history.left', { to: format.moment(to) })}
          </option>
        ))}
      </SelectField>
    </div>
  );
}

function TypedMoment({
  at,
  zoneOfApp,
  onAt,
}: {
  readonly at: number | null;
  readonly zoneOfApp: string;
  readonly onAt: (at: number) => void;
}): ReactNode {
  const { t } = useLocale();
  const own = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = [...new Set([own, zoneOfApp, 'UTC'])];
  const [zone, setZone] = useState(own);
  const [typed, setTyped] = useState<string | null>(null);
  const isInvalid = typed !== null && momentOf(typed, zone) === undefined;
  const change = (text: string, timeZone: string): void => {
    const moment = momentOf(text, timeZone);
    setTyped(moment === undefined ? text : null);
    if (moment !== undefined) onAt(moment);
  };
  return (
    <>
      <TextField
        type="datetime-local"
        step={1}
        label={t('reach.moment')}
        error={isInvalid ? t('reach.notATime') : undefined}
        className="numbers"
        value={typed ?? (at === null ? '' : typedText(at, zone))}
        onChange={(event) => change(event.target.value, zone)}
        onBlur={() => setTyped(null)}
      />
      <SelectField label={t('policy.timeZone')} value={zone} onChange={(event) => setZone(event.target.value)}>
        {zones.map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </SelectField>
    </>
  );
}

function JumpTo({
  landmarks,
  chosen,
  onChosen,
}: {
  readonly landmarks: readonly Landmark[];
  readonly chosen: Chosen;
  readonly onChosen: (chosen: Chosen) => void;
}): ReactNode {
  const { t, format } = useLocale();
  const offered = landmarks.filter(({ kind }) => kind !== 'restart').toReversed();
  const index =
    chosen.kind === 'landmark'
      ? offered.findIndex(({ at, kind }) => at === chosen.at && kind === chosen.mark.kind)
      : -1;
  const text = ({ kind, name, at, snapshot }: Landmark): string => {
    const what =
      kind === 'point'
        ? t('reach.point', { name: name ?? '' })
        : (name ?? t('snapshot.unnamed', { kind: t(`kind.${snapshot?.kind ?? 'scheduled'}`) }));
    return `${format.moment(at)} · ${what}`;
  };
  return (
    <SelectField
      label={t('reach.jump')}
      value={chosen.kind === 'latest' ? 'latest' : String(index)}
      onChange={(event) => {
        const mark = offered[Number(event.target.value)];
        onChosen(mark ? { kind: 'landmark', at: mark.at, mark } : { kind: 'latest' });
      }}
    >
      <option value="latest">{t('reach.latest')}</option>
      {chosen.kind !== 'latest' && index === -1 && <option value="-1">{t('reach.ownMoment')}</option>}
      {offered.map((mark, position) => (
        <option key={position} value={position}>
          {text(mark)}
        </option>
      ))}
    </SelectField>
  );
}

interface VerdictProps {
  readonly app: App;
  readonly database: DatabaseTimeline;
  /** One that was left behind; null for the present one. */
  readonly timeline: number | null;
  readonly chosen: Chosen;
  readonly at: number | null;
  readonly now: number;
  readonly onAt: (at: number) => void;
}

function Verdict({ app, database, timeline, chosen, at, now, onAt }: VerdictProps): ReactNode {
  const locale = useLocale();
  const { t, format } = locale;
  if (at === null) return null;
  const judged: Judgement = judge(database, at);
  if (judged.state !== 'reachable') {
    const near = [judged.before, judged.after].filter((moment) => moment !== null);
    return (
      <Notice
        tone="warning"
        live
        className="mt-4"
        title={t('reach.cannotTitle', { time: format.moment(at) })}
        action={near.map((moment) => (
          <Button key={moment} onClick={() => onAt(moment)}>
            {t('reach.use', { time: format.moment(moment) })}
          </Button>
        ))}
      >
        {judgementText(judged, { ...locale, now })}
      </Notice>
    );
  }
  return (
    <div
      role="status"
      className="mt-4 flex flex-wrap items-center justify-between gap-x-6 gap-y-3 rounded-lg bg-accent-soft px-4 py-3"
    >
      <p className="numbers flex min-w-0 items-start gap-2.5">
        <CircleCheck size={20} aria-hidden="true" className="mt-0.5 shrink-0 text-ok" />
        <span className="min-w-0">
          <span className="font-semibold">
            {chosen.kind === 'latest'
              ? t('reach.verdictLatest', { time: format.moment(at) })
              : t('reach.verdict', { time: format.moment(at) })}
          </span>
          <span className="block text-sm text-ink-2">
            {format.relative(at, now)} · {new Date(at).toISOString().replace('T', ' ').slice(0, 19)} UTC
          </span>
        </span>
      </p>
      <ButtonLink
        look="primary"
        to="/apps/$appId/recover"
        params={{ appId: app.id }}
        search={{ database: database.component, ...(timeline === null ? {} : { timeline }), ...searchOf(chosen) }}
      >
        <History size={16} aria-hidden="true" />
        {t('reach.plan')}
      </ButtonLink>
    </div>
  );
}

function searchOf(chosen: Chosen): Readonly<Record<string, string>> {
  if (chosen.kind === 'latest') return {};
  if (chosen.kind === 'landmark' && chosen.mark.kind === 'point') return { point: chosen.mark.name ?? '' };
  if (chosen.kind === 'landmark' && chosen.mark.snapshot !== null) return { snapshot: chosen.mark.snapshot.id };
  return { time: new Date(chosen.at).toISOString() };
}
