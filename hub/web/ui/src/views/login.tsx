import { useState } from "react";
import { login } from "../api";
import { Logo } from "../parts/bits";

export function LoginView() {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    setBusy(true);
    setError("");
    try {
      await login(user.trim(), password);
    } catch (e) {
      setError(e instanceof Error ? e.message : String(e));
      setBusy(false);
    }
  };
  return (
    <main className="login">
      <form
        className="card"
        onSubmit={(e) => {
          e.preventDefault();
          void submit();
        }}
      >
        <Logo />
        <h1>Sign in to Skerry</h1>
        <p className="mute">The hub of your edge models.</p>
        <label>
          User
          <input name="user" value={user} onChange={(e) => setUser(e.target.value)} autoComplete="username" autoCapitalize="none" spellCheck={false} required autoFocus />
        </label>
        <label>
          Password
          <input name="password" type="password" value={password} onChange={(e) => setPassword(e.target.value)} autoComplete="current-password" required />
        </label>
        <p className="trouble" role="alert" hidden={!error}>{error}</p>
        <button type="submit" className="primary" disabled={busy}>{busy ? "Signing in…" : "Sign in"}</button>
        <small className="mute">The first start of the hub creates the user “admin” and shows its password once.</small>
      </form>
    </main>
  );
}
