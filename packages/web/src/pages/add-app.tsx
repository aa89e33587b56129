// Adding an app: one of those found in Docker, or folders and a database of this host.

import { useNavigate, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useLocale } from '../i18n/locale.tsx';
import { PageHeading } from '../ui/surface.tsx';
import { DiscoveredApps } from './add-app/discovered-apps.tsx';
import { HostAppForm } from './add-app/host-app-form.tsx';

const kinds = ['docker', 'host'] as const;

export function AddAppPage(): ReactNode {
  const { t } = useLocale();
  const navigate = useNavigate();
  const search: { kind?: string } = useSearch({ strict: false });
  const kind = search.kind === 'host' ? 'host' : 'docker';
  return (
    <div>
      <PageHeading back={{ link: { to: '/' }, label: t('apps.title') }} title={t('add.title')} text={t('add.text')} />
      <div
        role="group"
        aria-label={t('add.ways')}
        className="mb-6 inline-flex rounded-lg border border-line bg-sunken p-0.5"
      >
        {kinds.map((option) => (
          <button
            key={option}
            type="button"
            aria-pressed={kind === option}
            onClick={() => void navigate({ to: '/apps/add', search: { kind: option } as never })}
            className="min-h-9 rounded-md px-3.5 text-sm text-ink-2 hover:text-ink aria-pressed:bg-surface aria-pressed:font-medium aria-pressed:text-ink aria-pressed:shadow-card"
          >
            {t(`add.${option}`)}
          </button>
        ))}
      </div>
      {kind === 'docker' ? <DiscoveredApps /> : <HostAppForm />}
    </div>
  );
}
