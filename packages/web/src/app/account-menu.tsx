// The menu at the top right: language, theme, signing out.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Check, CircleUser, LogOut } from 'lucide-react';
import { DropdownMenu as Menu } from 'radix-ui';
import type { ReactNode } from 'react';
import { api } from '../api/client.ts';
import { useLocale } from '../i18n/locale.tsx';
import { languages } from '../i18n/translate.ts';
import type { Language } from '../i18n/translate.ts';
import type { Theme } from '../ui/theme.ts';
import { useAppearance } from './appearance.tsx';

export const themes: readonly Theme[] = ['system', 'light', 'dark'];

const item =
  'flex min-h-9 cursor-pointer items-center gap-2 rounded-md px-2.5 text-sm outline-none data-highlighted:bg-sunken';

export function AccountMenu({ userName }: { readonly userName: string }): ReactNode {
  const { t, language, setLanguage } = useLocale();
  const { theme, setTheme } = useAppearance();
  const client = useQueryClient();
  const signOut = useMutation({
    mutationFn: () => api.signOut(),
    onSettled: () => client.resetQueries(),
  });
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger
        aria-label={`${userName} · ${t('nav.account')}`}
        className="inline-flex h-9 max-w-48 items-center gap-2 rounded-md px-2 text-sm text-ink-2 hover:bg-sunken hover:text-ink"
      >
        <CircleUser size={20} aria-hidden="true" />
        <span className="hidden truncate sm:block">{userName}</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content
          align="end"
          sideOffset={6}
          className="rise z-50 w-56 rounded-xl border border-line bg-surface p-1.5 shadow-card"
        >
          <Menu.Label className="truncate px-2.5 py-1.5 text-xs text-ink-2">
            {t('account.signedInAs', { name: userName })}
          </Menu.Label>
          <Menu.Separator className="my-1 h-px bg-line" />
          <Choices
            label={t('language.label')}
            value={language}
            options={languages.map(({ code, name }) => ({ value: code, text: name, lang: code }))}
            onChoose={(value) => setLanguage(value as Language)}
          />
          <Menu.Separator className="my-1 h-px bg-line" />
          <Choices
            label={t('theme.label')}
            value={theme}
            options={themes.map((value) => ({ value, text: t(`theme.${value}`) }))}
            onChoose={(value) => setTheme(value as Theme)}
          />
          <Menu.Separator className="my-1 h-px bg-line" />
          <Menu.Item className={item} onSelect={() => signOut.mutate()}>
            <LogOut size={16} aria-hidden="true" />
            {t('nav.signOut')}
          </Menu.Item>
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

interface ChoicesProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly { readonly value: string; readonly text: string; readonly lang?: string }[];
  readonly onChoose: (value: string) => void;
}

function Choices({ label, value, options, onChoose }: ChoicesProps): ReactNode {
  return (
    <Menu.RadioGroup value={value} onValueChange={onChoose} aria-label={label}>
      <Menu.Label className="px-2.5 py-1 text-xs text-ink-2">{label}</Menu.Label>
      {options.map((option) => (
        <Menu.RadioItem
          key={option.value}
          value={option.value}
          className={item}
          {...(option.lang ? { lang: option.lang } : {})}
        >
          <span className="inline-flex w-4" aria-hidden="true">
            <Menu.ItemIndicator>
              <Check size={16} />
            </Menu.ItemIndicator>
          </span>
          {option.text}
        </Menu.RadioItem>
      ))}
    </Menu.RadioGroup>
  );
}
