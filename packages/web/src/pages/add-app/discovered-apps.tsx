// The apps found on this host, with what would be saved and what not; one click protects an app.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import type { DiscoveredApp } from '@varve/contract';
import { RefreshCw, ShieldCheck } from 'lucide-react';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys, queries } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button, ButtonLink } from '../../ui/button.tsx';
import { Check, TextArea } from '../../ui/field.tsx';
import { Notice, ProblemNotice } from '../../ui/notice.tsx';
import { StateLight } from '../../ui/state.tsx';
import { Card, Empty, Skeleton } from '../../ui/surface.tsx';
import { ComponentLine } from '../app/component-list.tsx';
import { linesOf } from './lines.ts';

export function DiscoveredApps(): ReactNode {
  const { t } = useLocale();
  const discovery = useQuery(queries.discovery());
  if (discovery.isPending) {
    return (
      <Card className="p-6">
        <p className="mb-4 text-ink-2">{t('add.looking')}</p>
        <Skeleton rows={3} label={t('add.looking')} />
      </Card>
    );
  }
  if (discovery.isError) {
    return <ProblemNotice problem={discovery.error} onRetry={() => void discovery.refetch()} />;
  }
  const { apps, dockerProblem } = discovery.data;
  return (
    <div className="flex flex-col gap-4">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h2 className="text-lg font-semibold tracking-tight">{t('add.found', { count: apps.length })}</h2>
        <Button
          look="quiet"
          className="-mr-3.5"
          onClick={() => void discovery.refetch()}
          disabled={discovery.isFetching}
        >
          <RefreshCw size={16} aria-hidden="true" className={discovery.isFetching ? 'animate-spin' : ''} />
          {t('action.refresh')}
        </Button>
      </div>
      {dockerProblem !== null && <ProblemNotice problem={dockerProblem} />}
      {apps.length === 0 && (
        <Card>
          <Empty title={t('add.nothing')} text={t('add.nothingText')} />
        </Card>
      )}
      {apps.map((app) => (
        <DiscoveredCard key={app.suggestedId} app={app} />
      ))}
      {apps.some((app) => app.addedAs === null) && <p className="text-sm text-ink-2">{t('add.firstNow')}</p>}
    </div>
  );
}

function DiscoveredCard({ app }: { readonly app: DiscoveredApp }): ReactNode {
  const { t } = useLocale();
  const [without, setWithout] = useState<ReadonlySet<string>>(new Set());
  const [code, setCode] = useState('');
  const protect = useProtect(app, without, code);
  const toggle = (name: string): void => {
    const next = new Set(without);
    if (!next.delete(name)) next.add(name);
    setWithout(next);
  };
  return (
    <Card as="article" className="p-5 sm:p-6">
      <div className="flex flex-wrap items-start justify-between gap-3">
        <div>
          <h3 className="flex flex-wrap items-center gap-2 text-lg font-semibold tracking-tight">
            {app.name}
            {app.isOdoo && (
              <span className="rounded-full bg-accent-soft px-2.5 py-0.5 text-xs font-semibold text-accent">
                {t('add.odoo')}
              </span>
            )}
          </h3>
          <p className="text-sm text-ink-2">{t('add.containers', { count: app.containers.length })}</p>
        </div>
        {app.addedAs === null ? (
          <Button
            look="primary"
            aria-label={t('add.protectOf', { app: app.name })}
            disabled={protect.isPending || without.size === app.components.length}
            onClick={() => protect.mutate()}
          >
            <ShieldCheck size={16} aria-hidden="true" />
            {protect.isPending ? t('add.protecting') : t('add.protect')}
          </Button>
        ) : (
          <div className="flex items-center gap-3">
            <StateLight light="ok">{t('add.already')}</StateLight>
            <ButtonLink to="/apps/$appId" params={{ appId: app.addedAs }}>
              {t('add.openApp')}
            </ButtonLink>
          </div>
        )}
      </div>
      <div className="mt-5 grid gap-6 md:grid-cols-2">
        <div>
          <h4 className="mb-2 text-sm font-semibold">{t('add.willSave')}</h4>
          <ul className="flex flex-col gap-2.5">
            {app.components.map((component) => (
              <ComponentLine key={component.name} component={component} leftOut={without.has(component.name)} />
            ))}
          </ul>
        </div>
        {app.notSaved.length > 0 && (
          <div>
            <h4 className="mb-2 text-sm font-semibold">{t('add.willNotSave')}</h4>
            <ul className="flex flex-col gap-2.5 text-sm">
              {app.notSaved.map(({ what, reason }) => (
                <li key={what}>
                  <span className="break-all font-mono text-[0.8125rem]">{what}</span>
                  <span className="block text-ink-2">{reason}</span>
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
      {app.addedAs === null && (
        <details className="mt-5 border-t border-line pt-4">
          <summary className="w-fit rounded text-sm font-medium text-accent">{t('add.options')}</summary>
          <div className="mt-4 grid gap-6 md:grid-cols-2">
            <fieldset className="flex flex-col gap-2">
              <legend className="mb-2 text-sm font-medium">{t('add.leaveOut')}</legend>
              {app.components.map(({ name }) => (
                <Check key={name} label={name} checked={!without.has(name)} onChange={() => toggle(name)} />
              ))}
            </fieldset>
            <TextArea
              label={t('add.extraCode')}
              optional={t('snapshot.optional')}
              hint={t('add.onePerLine')}
              className="font-mono"
              value={code}
              onChange={(event) => setCode(event.target.value)}
            />
          </div>
        </details>
      )}
      {protect.isError && <ProblemNotice problem={protect.error} className="mt-4" />}
      {protect.data?.firstProblem !== undefined && (
        <Notice tone="warning" title={t('add.firstFailed')} className="mt-4" />
      )}
    </Card>
  );
}

/** Adds the app and starts its first snapshot; shows the app then. */
function useProtect(app: DiscoveredApp, without: ReadonlySet<string>, code: string) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const project = app.origin.type === 'docker' ? app.origin.project : app.suggestedId;
  return useMutation({
    mutationFn: () =>
      addAndSnapshot({
        type: 'docker',
        project,
        id: app.suggestedId,
        name: app.name,
        withoutComponents: [...without],
        code: linesOf(code),
      }),
    onSuccess: async ({ appId }) => {
      await client.invalidateQueries({ queryKey: keys.apps });
      void client.invalidateQueries({ queryKey: keys.discovery });
      void client.invalidateQueries({ queryKey: keys.repository });
      await navigate({ to: '/apps/$appId', params: { appId } });
    },
  });
}

/** The app is added even when its first snapshot cannot start; then the reason is given. */
export async function addAndSnapshot(
  input: Parameters<typeof api.addApp>[0],
): Promise<{ appId: string; firstProblem: unknown }> {
  const added = await api.addApp(input);
  try {
    await api.startSnapshot(added.id, { kind: 'manual' });
    return { appId: added.id, firstProblem: undefined };
  } catch (problem) {
    return { appId: added.id, firstProblem: problem };
  }
}
