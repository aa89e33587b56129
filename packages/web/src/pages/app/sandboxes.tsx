// The sandboxes of an app: servers that recoveries made and that stay until they are removed. How each is reached, and its end.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { App, Sandbox } from '@varve/contract';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys, queries } from '../../api/queries.ts';
import { sandboxPlaces, sandboxSentence } from '../../domain/sandbox-text.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { StateLight } from '../../ui/state.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';
import { RemoveSandboxDialog } from './sandboxes/remove-sandbox-dialog.tsx';

/** Nothing while there is none: a sandbox begins with a recovery. */
export function Sandboxes({ app }: { readonly app: App }): ReactNode {
  const { t } = useLocale();
  const [removing, setRemoving] = useState<Sandbox | null>(null);
  const all = useQuery(queries.sandboxes());
  const sandboxes = all.data?.filter(({ appId }) => appId === app.id) ?? [];
  if (all.isError && all.data === undefined) {
    return <ProblemNotice className="mt-6" problem={all.error} onRetry={() => void all.refetch()} />;
  }
  if (sandboxes.length === 0) return null;
  return (
    <Card className="mt-6 p-5 sm:p-6" aria-labelledby="sandboxes-title">
      <CardHeading id="sandboxes-title">{t('sandbox.title')}</CardHeading>
      <p className="text-sm text-ink-2">{t('sandbox.text')}</p>
      <ul className="mt-4 divide-y divide-line border-t border-line">
        {sandboxes.map((sandbox) => (
          <SandboxRow key={sandbox.id} sandbox={sandbox} onRemove={() => setRemoving(sandbox)} />
        ))}
      </ul>
      {removing !== null && (
        <RemoveSandboxDialog sandbox={removing} places={sandboxPlaces(removing)} onClose={() => setRemoving(null)} />
      )}
    </Card>
  );
}

function SandboxRow({ sandbox, onRemove }: { readonly sandbox: Sandbox; readonly onRemove: () => void }): ReactNode {
  const locale = useLocale();
  const { t } = locale;
  const now = useNow();
  const client = useQueryClient();
  const promote = useMutation({
    mutationFn: () => api.promoteSandbox(sandbox.id),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.sandboxes }),
  });
  const { light, state, text } = sandboxSentence(sandbox, { ...locale, now });
  const isUp = sandbox.state === 'running' || sandbox.state === 'paused';
  return (
    <li className="py-4 last:pb-0">
      <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="min-w-0 flex-1 basis-72">
          <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <span className="font-medium">{t('sandbox.of', { database: sandbox.component })}</span>
            <span className="font-mono text-xs text-ink-2">{sandbox.id}</span>
            <StateLight light={light}>{state}</StateLight>
          </p>
          <p className="numbers mt-1 text-sm text-ink-2">{text}</p>
        </div>
        <div className="flex flex-wrap gap-2">
          {sandbox.state === 'paused' && (
            <Button disabled={promote.isPending} onClick={() => promote.mutate()}>
              {t('sandbox.promote')}
            </Button>
          )}
          {sandbox.state !== 'making' && (
            <Button look="danger" onClick={onRemove} aria-label={t('sandbox.removeOne', { id: sandbox.id })}>
              {t('sandbox.remove')}
            </Button>
          )}
        </div>
      </div>
      {isUp && sandbox.connection !== null && (
        <div className="mt-3 text-sm">
          <p className="text-ink-2">{t('sandbox.connect')}</p>
          <code className="mt-1 block break-words rounded-md bg-sunken px-3 py-2 font-mono text-xs">
            {sandbox.connection.command}
          </code>
        </div>
      )}
      {promote.isError && <ProblemNotice className="mt-3" problem={promote.error} />}
    </li>
  );
}
