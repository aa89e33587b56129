// Home: one sentence about everything, then one card per app.

import { useQuery } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import type { ReactNode } from 'react';
import { queries } from '../api/queries.ts';
import { heroSentence, needsAttention } from '../domain/protection.ts';
import type { Hero } from '../domain/protection.ts';
import { useLocale, useNow } from '../i18n/locale.tsx';
import { ButtonLink } from '../ui/button.tsx';
import { Notice, ProblemNotice } from '../ui/notice.tsx';
import { LightIcon } from '../ui/state.tsx';
import { StrataSection } from '../ui/strata.tsx';
import { Card, Skeleton } from '../ui/surface.tsx';
import { DiscoveredApps } from './add-app/discovered-apps.tsx';
import { AppCard } from './apps/app-card.tsx';

export function AppsPage(): ReactNode {
  const { t, format, language } = useLocale();
  const now = useNow();
  const apps = useQuery(queries.apps());
  const repository = useQuery(queries.repository());

  if (apps.isError && apps.data === undefined) {
    return <ProblemNotice problem={apps.error} onRetry={() => void apps.refetch()} />;
  }
  if (apps.data === undefined) return <AppsSkeleton />;
  const hero = heroSentence(apps.data, repository.data ?? null, { t, format, language, now });
  const sorted = apps.data.toSorted(
    (a, b) => Number(needsAttention(b)) - Number(needsAttention(a)) || a.app.name.localeCompare(b.app.name),
  );
  return (
    <div className="flex flex-col gap-6">
      <HeroPanel hero={hero} />
      <Banners />
      {sorted.length === 0 ? (
        <>
          <DiscoveredApps />
          <p>
            <ButtonLink to="/apps/add" search={{ kind: 'host' } as never}>
              <Plus size={16} aria-hidden="true" />
              {t('add.host')}
            </ButtonLink>
          </p>
        </>
      ) : (
        <section aria-labelledby="apps-title">
          <div className="mb-4 flex items-center justify-between gap-4">
            <h2 id="apps-title" className="text-lg font-semibold tracking-tight">
              {t('apps.title')}
            </h2>
            <ButtonLink to="/apps/add">
              <Plus size={16} aria-hidden="true" />
              {t('apps.add')}
            </ButtonLink>
          </div>
          <ul className="grid gap-4 md:grid-cols-2 xl:grid-cols-3">
            {sorted.map((overview) => (
              <AppCard key={overview.app.id} overview={overview} />
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function HeroPanel({ hero }: { readonly hero: Hero }): ReactNode {
  return (
    <Card className="relative overflow-hidden">
      <div className="flex items-start gap-4 px-5 pb-7 pt-6 sm:px-8 sm:pb-9 sm:pt-8">
        <span className="mt-1 sm:mt-1.5">
          <LightIcon light={hero.light} size={32} />
        </span>
        <div className="min-w-0">
          <h1 className="text-[1.625rem] font-semibold leading-8 tracking-tight sm:text-4xl sm:leading-11">
            {hero.title}
          </h1>
          <p className="numbers mt-1.5 text-ink-2 sm:text-base">{hero.text}</p>
        </div>
      </div>
      <StrataSection className="h-7" />
    </Card>
  );
}

/** What needs the owner: the recovery kit, open alerts. */
function Banners(): ReactNode {
  const { t } = useLocale();
  const repository = useQuery(queries.repository());
  const alerts = useQuery(queries.openAlerts());
  const count = alerts.data?.length ?? 0;
  const kitMissing = repository.data !== undefined && repository.data !== null && !repository.data.recoveryKitConfirmed;
  if (count === 0 && !kitMissing) return null;
  return (
    <div className="flex flex-col gap-3">
      {kitMissing && (
        <Notice
          tone="warning"
          title={t('kit.nagTitle')}
          action={
            <ButtonLink to="/settings" hash="recovery-kit">
              {t('kit.nagAction')}
            </ButtonLink>
          }
        >
          {t('kit.nagText')}
        </Notice>
      )}
      {count > 0 && (
        <Notice
          tone="bad"
          title={t('alerts.banner', { count })}
          action={<ButtonLink to="/alerts">{t('alerts.see')}</ButtonLink>}
        />
      )}
    </div>
  );
}

function AppsSkeleton(): ReactNode {
  const { t } = useLocale();
  return (
    <div className="flex flex-col gap-6">
      <Card className="p-8">
        <Skeleton rows={2} label={t('loading')} />
      </Card>
      <div className="grid gap-4 md:grid-cols-2">
        <Card className="p-6">
          <Skeleton rows={3} label={t('loading')} />
        </Card>
        <Card className="p-6">
          <Skeleton rows={3} label={t('loading')} />
        </Card>
      </div>
    </div>
  );
}
