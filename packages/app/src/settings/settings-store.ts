// Settings of the installation. What is secret among them is sealed elsewhere and only told to be there.

import { AppError, Secret } from '@varve/base';
import {
  emailSettingsSchema,
  maintenanceSettingsSchema,
  type EmailSettings,
  type MaintenanceSettings,
  type Settings,
  type SettingsUpdate,
} from '@varve/contract';
import type { Catalogue } from '../catalogue/catalogue.ts';
import { readJson } from '../catalogue/json.ts';
import type { SecretStore } from '../secrets/secret-store.ts';

const emailPasswordName = 'email-password';

export class SettingsStore {
  readonly #catalogue: Catalogue;
  readonly #secrets: SecretStore;

  constructor(options: { readonly catalogue: Catalogue; readonly secrets: SecretStore }) {
    this.#catalogue = options.catalogue;
    this.#secrets = options.secrets;
  }

  async #get(key: string): Promise<string | undefined> {
    const row = await this.#catalogue.queries
      .selectFrom('settings')
      .select('value_json')
      .where('key', '=', key)
      .executeTakeFirst();
    return row?.value_json;
  }

  async #set(key: string, value: unknown): Promise<void> {
    await this.#catalogue.queries
      .replaceInto('settings')
      .values({ key, value_json: JSON.stringify(value) })
      .execute();
  }

  /** The name of this host in snapshots: `proposed` at the first call, the same for ever after. */
  async hostName(proposed: string): Promise<string> {
    await this.#catalogue.queries
      .insertInto('settings')
      .values({ key: 'hostName', value_json: JSON.stringify(proposed) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const known: unknown = JSON.parse((await this.#get('hostName')) ?? '""');
    return typeof known === 'string' && known !== '' ? known : proposed;
  }

  async email(): Promise<EmailSettings> {
    return readJson(emailSettingsSchema, (await this.#get('email')) ?? '{}', 'settings of e-mail');
  }

  async maintenance(): Promise<MaintenanceSettings> {
    return readJson(maintenanceSettingsSchema, (await this.#get('maintenance')) ?? '{}', 'settings of maintenance');
  }

  emailPassword(): Promise<Secret | undefined> {
    return this.#secrets.get(emailPasswordName);
  }

  async read(): Promise<Settings> {
    return {
      email: await this.email(),
      emailPasswordSet: await this.#secrets.has(emailPasswordName),
      maintenance: await this.maintenance(),
    };
  }

  /** SETTINGS_INVALID when e-mail is switched on without a server, sender or recipient. */
  async update(update: SettingsUpdate): Promise<Settings> {
    const { email, maintenance } = update;
    if (email) assertUsable(email);
    if (update.emailPassword === '') await this.#secrets.remove(emailPasswordName);
    else if (update.emailPassword !== undefined) {
      await this.#secrets.set(emailPasswordName, new Secret(update.emailPassword));
    }
    if (email) await this.#set('email', email);
    if (maintenance) await this.#set('maintenance', maintenance);
    return this.read();
  }
}

/** SETTINGS_INVALID names what is missing for sending. */
export function assertUsable(email: EmailSettings): void {
  if (!email.enabled) return;
  const missing = [
    ...(email.host === '' ? ['the mail server'] : []),
    ...(email.from === '' ? ['the sender'] : []),
    ...(email.to.length === 0 ? ['a recipient'] : []),
  ];
  if (missing.length === 0) return;
  throw new AppError('SETTINGS_INVALID', `E-mail cannot be switched on without ${missing.join(', ')}.`, {
    hint: 'Fill in what is missing, or leave e-mail off.',
    context: { missing },
  });
}
