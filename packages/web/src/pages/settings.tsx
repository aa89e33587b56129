// Settings: the repository with its recovery kit, e-mail alerts, appearance, health checks.

import type { ReactNode } from 'react';
import type { MessageKey } from '../i18n/messages.ts';
import { useLocale } from '../i18n/locale.tsx';
import { PageHeading } from '../ui/surface.tsx';
import { AppearanceSection } from './settings/appearance-section.tsx';
import { DoctorSection } from './settings/doctor-section.tsx';
import { EmailSection } from './settings/email-section.tsx';
import { RepositorySection } from './settings/repository-section.tsx';

const sections: readonly { readonly id: string; readonly label: MessageKey }[] = [
  { id: 'repository', label: 'settings.repository' },
  { id: 'email', label: 'settings.email' },
  { id: 'appearance', label: 'settings.appearance' },
  { id: 'doctor', label: 'settings.doctor' },
];

export function SettingsPage(): ReactNode {
  const { t } = useLocale();
  return (
    <div>
      <PageHeading title={t('settings.title')} />
      <div className="grid items-start gap-8 lg:grid-cols-[12rem_minmax(0,1fr)]">
        <nav aria-label={t('settings.sections')} className="sticky top-24 hidden lg:block">
          <ul className="flex flex-col gap-1 border-l border-line">
            {sections.map(({ id, label }) => (
              <li key={id}>
                <a
                  href={`#${id}`}
                  className="-ml-px block border-l-2 border-transparent py-1.5 pl-4 text-sm text-ink-2 hover:border-accent hover:text-ink"
                >
                  {t(label as 'settings.email')}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div className="flex min-w-0 max-w-3xl flex-col gap-6">
          <RepositorySection />
          <EmailSection />
          <AppearanceSection />
          <DoctorSection />
        </div>
      </div>
    </div>
  );
}
