// What surrounds every page for somebody who is signed in: navigation, account menu, the state of the connection.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { Bell, History, Layers, Settings, WifiOff } from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import { useEffect, useRef } from 'react';
import type { ReactNode } from 'react';
import { queries } from '../api/queries.ts';
import { useEvents } from '../api/use-events.ts';
import type { MessageKey } from '../i18n/messages.ts';
import { useLocale } from '../i18n/locale.tsx';
import { Logo } from '../ui/logo.tsx';
import { StrataRule } from '../ui/strata.tsx';
import { AccountMenu } from './account-menu.tsx';

const places: readonly { to: '/' | '/jobs' | '/alerts' | '/settings'; label: MessageKey; icon: LucideIcon }[] = [
  { to: '/', label: 'nav.apps', icon: Layers },
  { to: '/jobs', label: 'nav.jobs', icon: History },
  { to: '/alerts', label: 'nav.alerts', icon: Bell },
  { to: '/settings', label: 'nav.settings', icon: Settings },
];

export function Shell({ userName }: { readonly userName: string }): ReactNode {
  const { t } = useLocale();
  const connection = useEvents(true);
  const client = useQueryClient();
  const main = useRef<HTMLElement>(null);
  const pathname = useRouterState({ select: (state) => state.location.pathname });
  const shown = useRef(pathname);

  // A new page starts at its beginning for keyboard and screen reader too.
  useEffect(() => {
    if (shown.current === pathname) return;
    shown.current = pathname;
    main.current?.focus({ preventScroll: true });
    void client.invalidateQueries({ queryKey: ['alerts'] });
  }, [client, pathname]);

  return (
    <div className="flex min-h-dvh flex-col">
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:fixed focus:left-3 focus:top-3 focus:z-50 focus:rounded-md focus:bg-accent focus:px-4 focus:py-2 focus:text-on-accent"
      >
        {t('app.skip')}
      </a>
      <StrataRule />
      <header className="sticky top-0 z-20 border-b border-line bg-canvas">
        <div className="mx-auto flex h-14 max-w-[80rem] items-center gap-3 px-4 sm:px-6 lg:px-8">
          <Link to="/" aria-label={`${t('app.name')} · ${t('nav.apps')}`} className="inline-flex rounded-md">
            <Logo />
          </Link>
          <nav aria-label={t('nav.main')} className="ml-6 hidden h-full gap-1 md:flex">
            {places.map((place) => (
              <TopPlace key={place.to} {...place} pathname={pathname} />
            ))}
          </nav>
          <div className="ml-auto flex items-center gap-2">
            {connection === 'lost' && (
              <span className="inline-flex items-center gap-1.5 rounded-full bg-warn-soft px-2.5 py-1 text-xs font-semibold text-warn">
                <WifiOff size={14} aria-hidden="true" />
                {t('connection.lostShort')}
              </span>
            )}
            <AccountMenu userName={userName} />
          </div>
        </div>
      </header>
      <p role="status" className="sr-only">
        {connection === 'lost' ? t('connection.lost') : ''}
      </p>
      <main
        id="content"
        ref={main}
        tabIndex={-1}
        className="mx-auto w-full max-w-[80rem] flex-1 px-4 pb-28 pt-6 outline-none sm:px-6 sm:pt-8 md:pb-16 lg:px-8"
      >
        <Outlet />
      </main>
      <nav
        aria-label={t('nav.main')}
        className="fixed inset-x-0 bottom-0 z-20 grid grid-cols-4 border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] md:hidden"
      >
        {places.map((place) => (
          <BottomPlace key={place.to} {...place} pathname={pathname} />
        ))}
      </nav>
    </div>
  );
}

interface PlaceProps {
  readonly to: '/' | '/jobs' | '/alerts' | '/settings';
  readonly label: MessageKey;
  readonly icon: LucideIcon;
  readonly pathname: string;
}

function isCurrent(to: string, pathname: string): boolean {
  return to === '/' ? pathname === '/' || pathname.startsWith('/apps') : pathname.startsWith(to);
}

function TopPlace({ to, label, pathname }: PlaceProps): ReactNode {
  const { t } = useLocale();
  const current = isCurrent(to, pathname);
  return (
    <Link
      to={to}
      aria-current={current ? 'page' : undefined}
      className={`relative inline-flex items-center gap-2 px-3 text-sm font-medium transition-colors hover:text-ink ${
        current ? 'text-ink after:absolute after:inset-x-3 after:-bottom-px after:h-0.5 after:bg-accent' : 'text-ink-2'
      }`}
    >
      {t(label as 'nav.apps')}
      {to === '/alerts' && <AlertCount />}
    </Link>
  );
}

function BottomPlace({ to, label, icon: Icon, pathname }: PlaceProps): ReactNode {
  const { t } = useLocale();
  const current = isCurrent(to, pathname);
  return (
    <Link
      to={to}
      aria-current={current ? 'page' : undefined}
      className={`relative flex h-14 flex-col items-center justify-center gap-0.5 text-[0.6875rem] font-medium ${
        current ? 'text-accent' : 'text-ink-2'
      }`}
    >
      <Icon size={20} aria-hidden="true" />
      <span className="max-w-full truncate px-1">{t(label as 'nav.apps')}</span>
      {to === '/alerts' && (
        <span className="absolute right-[calc(50%-1.4rem)] top-1">
          <AlertCount />
        </span>
      )}
    </Link>
  );
}

function AlertCount(): ReactNode {
  const { t } = useLocale();
  const alerts = useQuery(queries.openAlerts());
  const count = alerts.data?.length ?? 0;
  if (count === 0) return null;
  return (
    <span className="numbers inline-flex h-4.5 min-w-4.5 items-center justify-center rounded-full bg-bad-soft px-1 text-[0.6875rem] font-bold text-bad">
      <span aria-hidden="true">{count}</span>
      <span className="sr-only">{t('nav.openAlerts', { count })}</span>
    </span>
  );
}
