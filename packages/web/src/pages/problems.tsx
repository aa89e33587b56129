// What is shown when there is nothing, or when a page itself fails.

import type { ErrorComponentProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useLocale } from '../i18n/locale.tsx';
import { Button, ButtonLink } from '../ui/button.tsx';
import { Card, Empty } from '../ui/surface.tsx';
import { Notice } from '../ui/notice.tsx';

export function NotFoundPage(): ReactNode {
  const { t } = useLocale();
  return (
    <Card>
      <h1 className="sr-only">{t('notFound.title')}</h1>
      <Empty
        title={t('notFound.title')}
        text={t('notFound.text')}
        action={
          <ButtonLink to="/" look="primary">
            {t('notFound.home')}
          </ButtonLink>
        }
      />
    </Card>
  );
}

export function ErrorPage({ error }: ErrorComponentProps): ReactNode {
  const { t } = useLocale();
  return (
    <div className="mx-auto max-w-2xl py-10">
      <h1 className="sr-only">{t('error.pageTitle')}</h1>
      <Notice
        tone="bad"
        live
        title={t('error.pageTitle')}
        action={<Button onClick={() => location.reload()}>{t('error.reload')}</Button>}
      >
        <p>{t('error.pageText')}</p>
        <p className="mt-1 font-mono text-xs text-ink-2">{error instanceof Error ? error.message : String(error)}</p>
      </Notice>
    </div>
  );
}
