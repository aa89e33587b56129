// What `varve doctor` finds, in the page.

import { useQuery } from '@tanstack/react-query';
import { RefreshCw } from 'lucide-react';
import type { ReactNode } from 'react';
import { queries } from '../../api/queries.ts';
import { checkTitle } from '../../domain/labels.ts';
import type { Light } from '../../domain/protection.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { LightIcon } from '../../ui/state.tsx';
import { Card, CardHeading, Skeleton } from '../../ui/surface.tsx';

const lights: Readonly<Record<'ok' | 'warning' | 'failed', Light>> = { ok: 'ok', warning: 'warning', failed: 'bad' };

export function DoctorSection(): ReactNode {
  const { t } = useLocale();
  const doctor = useQuery(queries.doctor());
  const session = useQuery(queries.session());
  return (
    <Card id="doctor" className="p-5 sm:p-6" aria-labelledby="doctor-title">
      <CardHeading
        id="doctor-title"
        action={
          <Button look="quiet" className="-mr-3.5" disabled={doctor.isFetching} onClick={() => void doctor.refetch()}>
            <RefreshCw size={16} aria-hidden="true" className={doctor.isFetching ? 'animate-spin' : ''} />
            {t('doctor.run')}
          </Button>
        }
      >
        {t('settings.doctor')}
      </CardHeading>
      <p className="text-sm text-ink-2">{t('doctor.text')}</p>
      <div className="mt-4">
        {doctor.isPending && <Skeleton rows={4} label={t('loading')} />}
        {doctor.isError && doctor.data === undefined && (
          <ProblemNotice problem={doctor.error} onRetry={() => void doctor.refetch()} />
        )}
        <ul className="divide-y divide-line">
          {doctor.data?.map((check) => (
            <li key={check.name} className="flex items-start gap-3 py-3">
              <LightIcon light={lights[check.state]} />
              <div className="min-w-0">
                <p className="font-medium">
                  {checkTitle(check.name, t)} <span className="sr-only">{t(`doctor.state.${check.state}`)}</span>
                </p>
                <p className="break-words text-sm text-ink-2">{check.message}</p>
                {check.hint !== null && <p className="mt-0.5 text-sm">{check.hint}</p>}
              </div>
            </li>
          ))}
        </ul>
      </div>
      {session.data !== undefined && (
        <p className="numbers mt-4 text-xs text-ink-2">{t('app.version', { version: session.data.version })}</p>
      )}
    </Card>
  );
}
