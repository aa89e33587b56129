// Back to any second: how well each database's log is captured, to which moments it can be brought back, and the choice of one.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import type { App, DatabaseComponent, Timeline } from '@varve/contract';
import { Flag } from 'lucide-react';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { queries } from '../../api/queries.ts';
import { captureSentence, reachSentence } from '../../domain/reach-text.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { SelectField } from '../../ui/field.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { LightIcon, StateLight } from '../../ui/state.tsx';
import { Card, CardHeading, Skeleton } from '../../ui/surface.tsx';
import { CaptureSwitch } from './point-in-time/capture-switch.tsx';
import { MomentPicker } from './point-in-time/moment-picker.tsx';
import { PointDialog } from './point-in-time/point-dialog.tsx';
import { WindowChoice } from './point-in-time/window-choice.tsx';
import type { WindowDays } from './point-in-time/window-choice.tsx';

export function PointInTime({ app }: { readonly app: App }): ReactNode {
  const { t } = useLocale();
  const [days, setDays] = useState<WindowDays>(1);
  const [chosen, setChosen] = useState<string | null>(null);
  const [marking, setMarking] = useState(false);
  const databases = app.components.filter((component): component is DatabaseComponent => component.kind === 'database');
  const timeline = useQuery({ ...queries.timeline(app.id, days), placeholderData: keepPreviousData });
  const known = timeline.data?.databases.map(({ component }) => component) ?? [];
  const names = [...new Set([...databases.map(({ name }) => name), ...known])];
  const name = names.find((one) => one === chosen) ?? names[0];
  if (name === undefined) return null;
  const component = databases.find((one) => one.name === name);
  return (
    <Card className="mt-6 p-5 sm:p-6" aria-labelledby="moment-title">
      <CardHeading
        id="moment-title"
        action={
          known.includes(name) && (
            <div className="flex flex-wrap items-center gap-3">
              {component?.wal === true && (
                <Button onClick={() => setMarking(true)}>
                  <Flag size={15} aria-hidden="true" />
                  {t('point.mark')}
                </Button>
              )}
              <WindowChoice days={days} onDays={setDays} />
            </div>
          )
        }
      >
        {t('reach.title')}
      </CardHeading>
      {names.length > 1 && (
        <div className="mt-2 max-w-64">
          <SelectField label={t('component.database')} value={name} onChange={(event) => setChosen(event.target.value)}>
            {names.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </SelectField>
        </div>
      )}
      {timeline.isPending && <Skeleton rows={3} label={t('loading')} />}
      {timeline.isError && <ProblemNotice problem={timeline.error} onRetry={() => void timeline.refetch()} />}
      {timeline.data !== undefined && (
        <Database key={name} app={app} component={component} name={name} timeline={timeline.data} days={days} />
      )}
      {marking && <PointDialog app={app} database={name} onClose={() => setMarking(false)} />}
    </Card>
  );
}

interface DatabaseProps {
  readonly app: App;
  /** Undefined for one that is no part of the app any more. */
  readonly component: DatabaseComponent | undefined;
  readonly name: string;
  readonly timeline: Timeline;
  readonly days: WindowDays;
}

function Database({ app, component, name, timeline, days }: DatabaseProps): ReactNode {
  const locale = useLocale();
  const { t } = locale;
  const now = useNow();
  const captures = useQuery(queries.captures(app.id));
  const capture = captures.data?.find((one) => one.component === name);
  const database = timeline.databases.find((one) => one.component === name);
  const reach = database && reachSentence(database, { ...locale, now });
  const state = capture && captureSentence(capture, { ...locale, now });
  return (
    <>
      {reach === undefined ? (
        <p className="text-sm text-ink-2">{t(component?.wal === true ? 'reach.nothingYet' : 'capture.offText')}</p>
      ) : (
        <p className="numbers mt-1 flex flex-wrap items-center gap-x-3 gap-y-1.5">
          <StateLight light={reach.light}>{reach.state}</StateLight>
          <span>{reach.text}</span>
        </p>
      )}
      {database !== undefined && (
        <MomentPicker app={app} database={database} snapshots={timeline.snapshots} days={days} now={now} />
      )}
      {component !== undefined && (
        <div className="mt-5 flex flex-wrap items-center justify-between gap-x-6 gap-y-3 border-t border-line pt-4">
          {state === undefined ? (
            <span />
          ) : (
            <p className="numbers flex min-w-0 items-start gap-2 text-sm">
              <span className="mt-0.5">
                <LightIcon light={state.light} size={16} />
              </span>
              <span className="min-w-0">
                <span className="font-medium">{state.state}</span>
                {state.text !== '' && <span className="text-ink-2"> · {state.text}</span>}
              </span>
            </p>
          )}
          <div className="flex flex-wrap gap-3">
            <CaptureSwitch app={app} component={component} />
          </div>
        </div>
      )}
    </>
  );
}
