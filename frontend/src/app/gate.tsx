import { useEffect, useState, useSyncExternalStore } from "react";
import type { SignInSettings } from "../auth/settings.ts";
import { SignIn } from "../auth/sign-in.ts";
import { Account } from "./account.tsx";
import type { Installation } from "./config.ts";
import { LiveDashboard } from "./live-dashboard.tsx";
import { SignInPage } from "./sign-in-page.tsx";

export interface GateProps {
  readonly installation: Installation;
  readonly settings: SignInSettings;
}

/** The dashboard for whoever is signed in, and for others a page to do that on. */
export function Gate({ installation, settings }: GateProps) {
  const [signIn] = useState(() => new SignIn(settings));
  const state = useSyncExternalStore(signIn.subscribe, () => signIn.state);
  useEffect(() => {
    signIn.start();
  }, [signIn]);
  if (state.kind !== "signedIn") {
    return (
      <SignInPage
        issuer={settings.issuer}
        isBusy={state.kind === "busy"}
        {...(state.kind === "signedOut" && state.problem && { problem: state.problem })}
        onSignIn={() => {
          signIn.signIn();
        }}
      />
    );
  }
  return (
    <LiveDashboard
      key={state.tokens.identity}
      installation={installation}
      tokens={state.tokens}
      account={
        <Account
          person={state.person}
          onSignOut={() => {
            signIn.signOut();
          }}
        />
      }
    />
  );
}
