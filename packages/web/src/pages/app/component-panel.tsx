// The components of an app; how a database is saved can be changed.

import type { App, DatabaseComponent } from '@varve/contract';
import { Pencil } from 'lucide-react';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';
import { ComponentLine } from './component-list.tsx';
import { DatabaseDialog } from './database-dialog.tsx';

export function ComponentPanel({ app }: { readonly app: App }): ReactNode {
  const { t } = useLocale();
  const [edited, setEdited] = useState<DatabaseComponent | null>(null);
  return (
    <Card className="p-5" aria-labelledby="components-title">
      <CardHeading id="components-title">{t('appPage.components')}</CardHeading>
      <ul className="mt-3 flex flex-col gap-3">
        {app.components.map((component) => (
          <ComponentLine
            key={component.name}
            component={component}
            action={
              component.kind === 'database' && (
                <Button
                  look="quiet"
                  className="-my-1.5 -mr-3.5"
                  aria-label={t('database.edit', { component: component.name })}
                  onClick={() => setEdited(component)}
                >
                  <Pencil size={15} aria-hidden="true" />
                </Button>
              )
            }
          />
        ))}
      </ul>
      {edited !== null && <DatabaseDialog app={app} component={edited} onClose={() => setEdited(null)} />}
    </Card>
  );
}
