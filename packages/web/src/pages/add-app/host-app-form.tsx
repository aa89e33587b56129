// Folders, a PostgreSQL database and git checkouts of this host as one app.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { keys } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { SelectField, TextArea, TextField } from '../../ui/field.tsx';
import { Notice, ProblemNotice } from '../../ui/notice.tsx';
import { Card } from '../../ui/surface.tsx';
import { addAndSnapshot } from './discovered-apps.tsx';
import { emptyDraft, problemsOf, requestOf } from './host-app.ts';
import type { DraftProblem, HostAppDraft } from './host-app.ts';

interface FieldsProps {
  readonly draft: HostAppDraft;
  readonly set: (field: keyof HostAppDraft) => (event: { readonly target: { readonly value: string } }) => void;
  readonly errorOf: (field: keyof HostAppDraft) => string | undefined;
}

export function HostAppForm(): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [draft, setDraft] = useState(emptyDraft);
  const [problems, setProblems] = useState<readonly DraftProblem[]>([]);
  const add = useMutation({
    mutationFn: () => addAndSnapshot(requestOf(draft)),
    onSuccess: async ({ appId }) => {
      await client.invalidateQueries({ queryKey: keys.apps });
      void client.invalidateQueries({ queryKey: keys.repository });
      await navigate({ to: '/apps/$appId', params: { appId } });
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const found = problemsOf(draft);
    setProblems(found);
    if (found.length === 0) add.mutate();
  };
  const errorOf = (field: keyof HostAppDraft): string | undefined => {
    const problem = problems.find((one) =>
      'field' in one ? one.field === field : one.type === 'id' && field === 'id',
    );
    if (problem === undefined) return undefined;
    if (problem.type === 'path') return t('add.pathAbsolute', { path: problem.path });
    return problem.type === 'quote' ? t('add.commandQuote') : t('add.idInvalid');
  };
  const fields: FieldsProps = {
    draft,
    set: (field) => (event) => setDraft({ ...draft, [field]: event.target.value }),
    errorOf,
  };
  return (
    <form onSubmit={submit} noValidate className="flex max-w-3xl flex-col gap-6">
      <Card className="grid gap-5 p-5 sm:grid-cols-2 sm:p-6">
        <NameFields {...fields} />
      </Card>
      <Card className="grid gap-5 p-5 sm:p-6">
        <PathFields {...fields} />
      </Card>
      <Card className="p-5 sm:p-6">
        <DatabaseFields {...fields} />
      </Card>
      <Card className="p-5 sm:p-6">
        <CommandFields {...fields} />
      </Card>
      {problems.some(({ type }) => type === 'empty') && <Notice tone="bad" live title={t('add.needSomething')} />}
      {add.isError && <ProblemNotice problem={add.error} />}
      <div>
        <Button type="submit" look="primary" className="min-h-11" disabled={add.isPending}>
          {add.isPending ? t('add.protecting') : t('add.submit')}
        </Button>
      </div>
    </form>
  );
}

function NameFields({ draft, set, errorOf }: FieldsProps): ReactNode {
  const { t } = useLocale();
  return (
    <>
      <TextField
        label={t('add.hostId')}
        hint={t('add.hostIdHint')}
        error={errorOf('id')}
        autoCapitalize="none"
        autoComplete="off"
        spellCheck={false}
        placeholder="shop"
        value={draft.id}
        onChange={set('id')}
      />
      <TextField
        label={t('add.hostName')}
        optional={t('snapshot.optional')}
        placeholder="Shop"
        value={draft.name}
        onChange={set('name')}
      />
    </>
  );
}

function PathFields({ draft, set, errorOf }: FieldsProps): ReactNode {
  const { t } = useLocale();
  const area = { spellCheck: false, className: 'font-mono' };
  return (
    <>
      <TextArea
        {...area}
        label={t('add.folders')}
        hint={t('add.onePerLine')}
        error={errorOf('folders')}
        placeholder="/srv/shop/uploads"
        value={draft.folders}
        onChange={set('folders')}
      />
      <div className="grid gap-5 sm:grid-cols-2">
        <TextArea
          {...area}
          label={t('add.code')}
          optional={t('snapshot.optional')}
          error={errorOf('code')}
          placeholder="/srv/shop/app"
          value={draft.code}
          onChange={set('code')}
        />
        <TextArea
          {...area}
          label={t('add.configFiles')}
          optional={t('snapshot.optional')}
          error={errorOf('configFiles')}
          placeholder="/etc/shop.conf"
          value={draft.configFiles}
          onChange={set('configFiles')}
        />
      </div>
    </>
  );
}

function DatabaseFields({ draft, set, errorOf }: FieldsProps): ReactNode {
  const { t } = useLocale();
  const mono = { spellCheck: false, autoComplete: 'off', className: 'font-mono' };
  return (
    <fieldset className="grid gap-5">
      <legend className="mb-4 text-base font-semibold tracking-tight">{t('add.database')}</legend>
      <TextField
        {...mono}
        label={t('add.databaseUrl')}
        optional={t('snapshot.optional')}
        hint={t('add.databaseUrlHint')}
        value={draft.databaseUrl}
        onChange={set('databaseUrl')}
      />
      {draft.databaseUrl.trim() !== '' && (
        <>
          <SelectField label={t('add.method')} value={draft.method} onChange={set('method')}>
            <option value="dump">{t('add.methodDump')}</option>
            <option value="base">{t('add.methodBase')}</option>
            <option value="both">{t('add.methodBoth')}</option>
          </SelectField>
          {draft.method !== 'dump' && (
            <div className="grid gap-5 sm:grid-cols-2">
              <TextField
                {...mono}
                label={t('add.dataDirectory')}
                hint={t('add.dataDirectoryHint')}
                error={errorOf('dataDirectory')}
                value={draft.dataDirectory}
                onChange={set('dataDirectory')}
              />
              <TextField
                {...mono}
                label={t('add.binDirectory')}
                optional={t('snapshot.optional')}
                error={errorOf('binDirectory')}
                value={draft.binDirectory}
                onChange={set('binDirectory')}
              />
            </div>
          )}
        </>
      )}
    </fieldset>
  );
}

function CommandFields({ draft, set, errorOf }: FieldsProps): ReactNode {
  const { t } = useLocale();
  const mono = { spellCheck: false, autoComplete: 'off', className: 'font-mono', optional: t('snapshot.optional') };
  return (
    <fieldset>
      <legend className="mb-1 text-base font-semibold tracking-tight">{t('add.commands')}</legend>
      <p className="mb-4 text-sm text-ink-2">{t('add.commandHint')}</p>
      <div className="grid gap-5 sm:grid-cols-2">
        <TextField
          {...mono}
          label={t('add.stopCommand')}
          error={errorOf('stopCommand')}
          placeholder="systemctl stop shop"
          value={draft.stopCommand}
          onChange={set('stopCommand')}
        />
        <TextField
          {...mono}
          label={t('add.startCommand')}
          error={errorOf('startCommand')}
          placeholder="systemctl start shop"
          value={draft.startCommand}
          onChange={set('startCommand')}
        />
      </div>
    </fieldset>
  );
}
