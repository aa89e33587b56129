// Decides what a visitor sees first: setting up, signing in, or the page that was asked for. The address stays, so that
// signing in leads to where somebody wanted to go.

import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { queries } from '../api/queries.ts';
import { useLocale } from '../i18n/locale.tsx';
import { SetupPage } from '../pages/setup.tsx';
import { SignInPage } from '../pages/sign-in.tsx';
import { ProblemNotice } from '../ui/notice.tsx';
import { LogoMark } from '../ui/logo.tsx';
import { Shell } from './shell.tsx';

export function Root(): ReactNode {
  const { t } = useLocale();
  const session = useQuery(queries.session());
  if (session.data === undefined) {
    return (
      <main className="mx-auto flex min-h-dvh max-w-lg flex-col items-center justify-center gap-6 px-4">
        <LogoMark size={48} />
        {session.isError ? (
          <ProblemNotice problem={session.error} onRetry={() => void session.refetch()} />
        ) : (
          <p role="status" className="text-ink-2">
            {t('loading')}
          </p>
        )}
      </main>
    );
  }
  if (session.data.setupNeeded) return <SetupPage />;
  if (session.data.user === null) return <SignInPage />;
  return <Shell userName={session.data.user.name} />;
}
