// Alerts by e-mail: the mail server, who gets them, and a test.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { Settings } from '@varve/contract';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { keys, queries } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { languages } from '../../i18n/translate.ts';
import { Button } from '../../ui/button.tsx';
import { Check, SelectField, TextArea, TextField } from '../../ui/field.tsx';
import { Notice, ProblemNotice } from '../../ui/notice.tsx';
import { Card, CardHeading, Skeleton } from '../../ui/surface.tsx';
import { linesOf } from '../add-app/lines.ts';

type Email = Settings['email'];

export function EmailSection(): ReactNode {
  const { t } = useLocale();
  const settings = useQuery(queries.settings());
  return (
    <Card id="email" className="p-5 sm:p-6" aria-labelledby="email-title">
      <CardHeading id="email-title">{t('settings.email')}</CardHeading>
      <p className="mb-5 text-sm text-ink-2">{t('email.text')}</p>
      {settings.isPending && <Skeleton rows={3} label={t('loading')} />}
      {settings.isError && settings.data === undefined && (
        <ProblemNotice problem={settings.error} onRetry={() => void settings.refetch()} />
      )}
      {settings.data !== undefined && <EmailForm settings={settings.data} />}
    </Card>
  );
}

function EmailForm({ settings }: { readonly settings: Settings }): ReactNode {
  const { t } = useLocale();
  const client = useQueryClient();
  const [email, setEmail] = useState<Email>(settings.email);
  const [recipients, setRecipients] = useState(settings.email.to.join('\n'));
  const [password, setPassword] = useState('');
  const [changed, setChanged] = useState(false);
  const save = useMutation({
    mutationFn: () =>
      api.updateSettings({
        email: { ...email, to: linesOf(recipients) },
        ...(password === '' ? {} : { emailPassword: password }),
      }),
    onSuccess: (stored) => {
      client.setQueryData(keys.settings, stored);
      setPassword('');
      setChanged(false);
    },
  });
  const change = (changes: Partial<Email>): void => {
    setEmail({ ...email, ...changes });
    setChanged(true);
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit} className="flex flex-col gap-5">
      <Check
        label={t('email.enabled')}
        checked={email.enabled}
        onChange={(event) => change({ enabled: event.target.checked })}
      />
      {email.enabled && (
        <>
          <ServerFields
            email={email}
            change={change}
            password={password}
            passwordSet={settings.emailPasswordSet}
            onPassword={(value) => {
              setPassword(value);
              setChanged(true);
            }}
          />
          <div className="grid gap-4 sm:grid-cols-2">
            <TextField
              label={t('email.from')}
              required
              placeholder="varve@example.com"
              value={email.from}
              onChange={(event) => change({ from: event.target.value })}
            />
            <SelectField
              label={t('email.language')}
              value={email.language}
              onChange={(event) => change({ language: event.target.value === 'es' ? 'es' : 'en' })}
            >
              {languages.map(({ code, name }) => (
                <option key={code} value={code} lang={code}>
                  {name}
                </option>
              ))}
            </SelectField>
          </div>
          <TextArea
            label={t('email.to')}
            hint={t('email.toHint')}
            required
            rows={2}
            placeholder="ana@example.com"
            value={recipients}
            onChange={(event) => {
              setRecipients(event.target.value);
              setChanged(true);
            }}
          />
        </>
      )}
      {save.isError && <ProblemNotice problem={save.error} />}
      {save.isSuccess && !changed && <Notice tone="ok" live title={t('action.saved')} />}
      <div className="flex flex-wrap gap-2">
        <Button type="submit" look="primary" disabled={save.isPending || !changed}>
          {save.isPending ? t('action.saving') : t('action.save')}
        </Button>
        {settings.email.enabled && <TestButton unsaved={changed} />}
      </div>
    </form>
  );
}

interface ServerFieldsProps {
  readonly email: Email;
  readonly change: (changes: Partial<Email>) => void;
  readonly password: string;
  readonly passwordSet: boolean;
  readonly onPassword: (password: string) => void;
}

const securities: readonly Email['security'][] = ['starttls', 'tls', 'none'];

function ServerFields({ email, change, password, passwordSet, onPassword }: ServerFieldsProps): ReactNode {
  const { t } = useLocale();
  return (
    <>
      <div className="grid gap-4 sm:grid-cols-[minmax(0,1fr)_7rem_9rem]">
        <TextField
          label={t('email.host')}
          required
          spellCheck={false}
          placeholder="smtp.example.com"
          value={email.host}
          onChange={(event) => change({ host: event.target.value })}
        />
        <TextField
          label={t('email.port')}
          type="number"
          min={1}
          max={65_535}
          required
          value={email.port}
          onChange={(event) => change({ port: Number(event.target.value) })}
        />
        <SelectField
          label={t('email.security')}
          value={email.security}
          onChange={(event) => change({ security: securities.find((one) => one === event.target.value) ?? 'starttls' })}
        >
          {securities.map((security) => (
            <option key={security} value={security}>
              {t(`email.security.${security}`)}
            </option>
          ))}
        </SelectField>
      </div>
      <div className="grid gap-4 sm:grid-cols-2">
        <TextField
          label={t('email.user')}
          optional={t('snapshot.optional')}
          autoComplete="off"
          value={email.user}
          onChange={(event) => change({ user: event.target.value })}
        />
        <TextField
          label={t('email.password')}
          type="password"
          autoComplete="new-password"
          {...(passwordSet ? { hint: t('email.passwordKept') } : { optional: t('snapshot.optional') })}
          value={password}
          onChange={(event) => onPassword(event.target.value)}
        />
      </div>
    </>
  );
}

function TestButton({ unsaved }: { readonly unsaved: boolean }): ReactNode {
  const { t } = useLocale();
  const test = useMutation({ mutationFn: () => api.sendTestEmail() });
  return (
    <>
      <Button
        disabled={test.isPending || unsaved}
        title={unsaved ? t('email.testSaveFirst') : ''}
        onClick={() => test.mutate()}
      >
        {test.isPending ? t('email.testing') : t('email.test')}
      </Button>
      {test.isError && <ProblemNotice problem={test.error} className="basis-full" />}
      {test.isSuccess && <Notice tone="ok" live title={t('email.testSent')} className="basis-full" />}
    </>
  );
}
