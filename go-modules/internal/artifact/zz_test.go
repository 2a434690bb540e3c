package artifact
import ("testing";"os";"fmt";"time";"runtime")
func TestZZ(t *testing.T){
 if os.Getenv("ZZ")=="" { t.Skip() }
 top,err:=os.MkdirTemp("/work","zz"); must(t,err); defer os.RemoveAll(top)
 n:=200000
 for i:=0;i<n;i++{ d:=fmt.Sprintf("%s/src/d%d",top,i/100); if i%100==0 {os.MkdirAll(d,0o755)}; os.WriteFile(fmt.Sprintf("%s/f%d",d,i),[]byte(content(1000+i%5000)),0o644)}
 lap:=func(s string,t0 time.Time){ var m runtime.MemStats; runtime.ReadMemStats(&m); t.Logf("%-20s %v sys %d MB", s,time.Since(t0).Round(time.Millisecond), m.Sys>>20)}
 t0:=time.Now(); tor,src,err:=Build(t.Context(),top+"/src",BuildOptions{}); must(t,err); lap(fmt.Sprintf("build %d MB",tor.Size>>20),t0)
 t0=time.Now(); _,err=Parse(tor.Raw); must(t,err); lap(fmt.Sprintf("parse %d MB",len(tor.Raw)>>20),t0)
 t0=time.Now(); must(t,src.Unchanged()); lap("unchanged",t0)
 t0=time.Now(); p,err:=NewPlan(tor,PlaceOptions{Dest:top+"/dest"}); must(t,err); lap("plan",t0)
 t0=time.Now(); must(t,p.Space()); lap("space",t0)
 t0=time.Now(); transfer(t,tor,src,p); lap("transfer+verify",t0)
 t0=time.Now(); must(t,p.Space()); lap("space2",t0)
 t0=time.Now(); must(t,p.Place(t.Context())); lap("place",t0)
 t0=time.Now(); p,err=NewPlan(tor,PlaceOptions{Dest:top+"/dest"}); must(t,err); lap("plan2",t0)
 t0=time.Now(); c,err:=p.Complete(t.Context()); must(t,err); lap(fmt.Sprint("complete ",c),t0)
 t0=time.Now(); ch,_,err:=p.Attributes(false); must(t,err); lap(fmt.Sprint("attributes ",ch),t0)
 t0=time.Now(); transfer(t,tor,src,p); lap("transfer 2",t0)
 t0=time.Now(); must(t,p.Place(t.Context())); lap("place over old",t0)
 t0=time.Now(); b,_:=src.MarshalJSON(); lap(fmt.Sprintf("json %d MB",len(b)>>20),t0)
}
